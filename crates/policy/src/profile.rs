//! What is shipped: five profiles, and the layer that every run needs. Plain files, printed as they are.

/// The shipped profiles: name, text, and what each is for in one line.
pub fn profiles() -> &'static [(&'static str, &'static str, &'static str)] {
    &[
        ("build", include_str!("../profiles/build.toml"), "day-to-day work: unknown hosts ask"),
        (
            "deploy",
            include_str!("../profiles/deploy.toml"),
            "releases: whatever leaves asks, credentials too",
        ),
        (
            "deps",
            include_str!("../profiles/deps.toml"),
            "dependencies: the registries that you name, and nothing unknown",
        ),
        ("refactor", include_str!("../profiles/refactor.toml"), "edits and tests: no network but the model"),
        (
            "review",
            include_str!("../profiles/review.toml"),
            "reading: nothing is written, no network but the model",
        ),
    ]
}

/// The shipped layer that always comes first.
pub fn system_layer() -> &'static str {
    include_str!("../profiles/system.toml")
}
