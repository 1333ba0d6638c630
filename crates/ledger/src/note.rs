//! Signed notes and checkpoints, as C2SP has them (signed-note, tlog-checkpoint), with Ed25519.
//!
//! Owns keys, their names and what is said in a note's bytes. Does not own where keys lie (`host`) or when a checkpoint is
//! signed (`log`).

use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::chance::chance;
use crate::tree::Hash;

/// The signature type of plain Ed25519 in a note key.
const ED25519: u8 = 1;
/// What a signature line begins with: an em dash and a blank.
const SIGNED_BY: &str = "\u{2014} ";
/// A note larger than this is no note of ours.
const NOTE_LIMIT: usize = 16 * 1024;

/// A note, a key or a checkpoint that is not one, or is not signed as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The text is not formed as it must be.
    #[error("not a {0}")]
    Malformed(&'static str),
    /// No signature by the key.
    #[error("not signed by `{0}`")]
    Unsigned(String),
    /// A signature that claims to be by the key and is not.
    #[error("the signature by `{0}` is false")]
    Forged(String),
}

/// A private key with its name. Its memory is cleared when it goes.
pub struct Signer {
    name: String,
    key: SigningKey,
}

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: VerifyingKey,
}

impl Signer {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate(name: &str) -> io::Result<Signer> {
        Ok(Signer { name: name.to_owned(), key: SigningKey::from_bytes(&chance()?) })
    }

    /// Names a new key after itself: `prefix` and the beginning of its hash.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate_named_by_key(prefix: &str) -> io::Result<Signer> {
        let mut signer = Signer::generate(prefix)?;
        let hash: Hash = Sha256::digest(signer.key.verifying_key().as_bytes()).into();
        signer.name = format!("{prefix}/{}", crate::hex::encode(&hash[..8]));
        Ok(signer)
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// A second copy of a key that outlives its use: the host's. A run's key is never copied.
    pub(crate) fn copy(&self) -> Signer {
        Signer { name: self.name.clone(), key: self.key.clone() }
    }

    /// The private key as text, `PRIVATE+KEY+name+id+key`.
    pub(crate) fn to_secret_text(&self) -> String {
        let id = crate::hex::encode(&self.verifier().id());
        format!("PRIVATE+KEY+{}+{id}+{}", self.name, BASE64.encode(typed(&self.key.to_bytes())))
    }

    /// Reads a private key.
    pub(crate) fn from_secret_text(text: &str) -> Result<Signer, NoteError> {
        let malformed = NoteError::Malformed("private key");
        let rest = text.strip_prefix("PRIVATE+KEY+").ok_or(malformed.clone())?;
        let (name, id, seed) = named_key(rest).ok_or(malformed.clone())?;
        let signer = Signer { name: name.to_owned(), key: SigningKey::from_bytes(&seed) };
        if signer.verifier().id() == id { Ok(signer) } else { Err(malformed) }
    }

    /// Signs a text, which must end in a newline; gives the note.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier().id().to_vec();
        signature.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n{SIGNED_BY}{} {}\n", self.name, BASE64.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Verifier {
    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a verifier key, `name+id+key`.
    pub fn parse(text: &str) -> Result<Verifier, NoteError> {
        let malformed = NoteError::Malformed("verifier key");
        let (name, id, key) = named_key(text).ok_or(malformed.clone())?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| malformed.clone())?;
        let verifier = Verifier { name: name.to_owned(), key };
        if verifier.id() == id { Ok(verifier) } else { Err(malformed) }
    }

    /// The text of a note that this key signed.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = parts(note)?;
        for line in signatures {
            let Some((name, id, signature)) = signature_line(line) else {
                return Err(NoteError::Malformed("signature"));
            };
            if name != self.name || id != self.id() {
                continue;
            }
            let signature =
                Signature::from_slice(&signature).map_err(|_| NoteError::Malformed("signature"))?;
            let checked = self.key.verify_strict(text.as_bytes(), &signature);
            return checked.map(|()| text).map_err(|_| NoteError::Forged(self.name.clone()));
        }
        Err(NoteError::Unsigned(self.name.clone()))
    }

    /// The key's id: the beginning of the hash over its name and itself.
    fn id(&self) -> [u8; 4] {
        let hash: Hash = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize()
            .into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = crate::hex::encode(&self.id());
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(typed(self.key.as_bytes())))
    }
}

/// What a log says of itself: so many leaves, this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a checkpoint's note.
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let malformed = || NoteError::Malformed("checkpoint");
        let mut lines = text.strip_suffix('\n').ok_or_else(malformed)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed());
        };
        let root = BASE64.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or_else(malformed)?;
        let number = size.parse().map_err(|_| malformed())?;
        let read = Checkpoint { origin: origin.to_owned(), size: number, root };
        // One checkpoint, one spelling.
        if read.to_string() == text && !origin.is_empty() { Ok(read) } else { Err(malformed()) }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }
}

/// The text of a note, whoever signed it.
pub(crate) fn text(note: &str) -> Result<&str, NoteError> {
    parts(note).map(|(text, _)| text)
}

/// Whether a key named `prefix/..` claims to have signed a note.
pub(crate) fn claims(note: &str, prefix: &str) -> bool {
    let by =
        |line: &str| signature_line(line).is_some_and(|(name, ..)| name.split('/').next() == Some(prefix));
    parts(note).is_ok_and(|(_, mut lines)| lines.any(by))
}

/// A note's text, and its signature lines.
fn parts(note: &str) -> Result<(&str, impl Iterator<Item = &str>), NoteError> {
    let malformed = NoteError::Malformed("signed note");
    if note.len() > NOTE_LIMIT || note.chars().any(|char| char != '\n' && char.is_control()) {
        return Err(malformed);
    }
    // The last blank line parts text and signatures.
    let at = note.rfind("\n\n").ok_or(malformed.clone())?;
    let (text, signatures) = (&note[..at + 1], &note[at + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(malformed)?;
    Ok((text, signatures.split('\n')))
}

/// A signature line's name, key id and signature.
fn signature_line(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, signature) = line.strip_prefix(SIGNED_BY)?.split_once(' ')?;
    let bytes = BASE64.decode(signature).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    is_name(name).then(|| (name, *id, signature.to_vec()))
}

/// Name, id and key out of `name+id+key`.
fn named_key(text: &str) -> Option<(&str, [u8; 4], [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let id = crate::hex::decode(id)?.try_into().ok()?;
    let bytes = BASE64.decode(key).ok()?;
    let (algorithm, key) = bytes.split_first()?;
    (is_name(name) && *algorithm == ED25519).then_some(())?;
    Some((name, id, key.try_into().ok()?))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|char: char| char == '+' || char.is_whitespace() || char.is_control())
}

fn typed(key: &[u8; 32]) -> Vec<u8> {
    [&[ED25519], &key[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_the_go_implementation_opens() {
        // The published example of golang.org/x/mod/sumdb/note.
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let verifier = Verifier::parse(key).unwrap();
        assert_eq!(verifier.to_string(), key);
        assert!(verifier.open(note).unwrap().starts_with("If you think"));
        let changed = note.replace("cryptography", "cryptocurrency");
        assert_eq!(verifier.open(&changed), Err(NoteError::Forged("PeterNeumann".into())));
    }

    #[test]
    fn a_private_key_of_the_go_implementation_signs_the_same() {
        let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let signer = Signer::from_secret_text(secret).unwrap();
        assert_eq!(signer.to_secret_text(), secret);
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let line = "PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert_eq!(signer.sign(text), format!("{text}\n\u{2014} {line}"));
    }

    #[test]
    fn a_note_by_another_key_of_the_same_name_is_not_ours() {
        let (one, other) = (Signer::generate("a").unwrap(), Signer::generate("a").unwrap());
        let note = one.sign("hello\n");
        assert_eq!(one.verifier().open(&note), Ok("hello\n"));
        assert_eq!(other.verifier().open(&note), Err(NoteError::Unsigned("a".into())));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_noticed() {
        let signer = Signer::generate("provost.run/x").unwrap();
        let note = signer.sign("origin\n7\nAAAA\n");
        let verifier = signer.verifier();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(verifier.open(&changed).is_err(), "byte {at} bit {bit}: {changed}");
            }
        }
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let checkpoint = Checkpoint { origin: "o".into(), size: 7, root: [9; 32] };
        let text = checkpoint.to_string();
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint));
        for wrong in
            [text.replace('7', "07"), text.replace('7', "+7"), format!("{text}more\n"), text[1..].to_owned()]
        {
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let signer = Signer::generate("a").unwrap();
        assert_eq!(format!("{signer:?}"), "Signer { name: \"a\", .. }");
    }
}
