//! What was kept from a person's terminal, counted by kind, for the ledger.

use std::collections::BTreeMap;

/// What was kept from the terminal, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Reading or setting the clipboard.
    Clipboard,
    /// Setting or reporting a title.
    Title,
    /// Questions that a terminal answers by typing.
    Query,
    /// Changing or asking for the palette.
    Colours,
    /// A link that leads elsewhere than to a web page.
    Link,
    /// Desktop notifications.
    Notification,
    /// Wrapped sequences for the terminal outside a multiplexer.
    Passthrough,
    /// Pictures.
    Image,
    /// Other strings for devices or applications.
    String,
    /// Moving, resizing, printing the window.
    Window,
    /// Switching on what is not needed to draw.
    Mode,
    /// Other encodings of the keyboard.
    Keyboard,
    /// Full resets and the end of the scrollback.
    Reset,
    /// Single control characters.
    Control,
    /// Sequences that never became one.
    Broken,
    /// Everything else that is not on the list.
    Other,
}

impl Kind {
    /// The word in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clipboard => "clipboard",
            Self::Title => "title",
            Self::Query => "query",
            Self::Colours => "colours",
            Self::Link => "link",
            Self::Notification => "notification",
            Self::Passthrough => "passthrough",
            Self::Image => "image",
            Self::String => "string",
            Self::Window => "window",
            Self::Mode => "mode",
            Self::Keyboard => "keyboard",
            Self::Reset => "reset",
            Self::Control => "control",
            Self::Broken => "broken",
            Self::Other => "other",
        }
    }
}

/// How many sequences of each kind were kept away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered(BTreeMap<Kind, u64>);

impl Filtered {
    pub(super) fn count(&mut self, kind: Kind) {
        let count = self.0.entry(kind).or_default();
        *count = count.saturating_add(1);
    }

    /// The kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    /// How often this kind occurred.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// Whether everything was let through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
