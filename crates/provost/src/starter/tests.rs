//! What `init` finds in repositories of many kinds, and that what it writes is a policy.

use std::fs;
use std::path::Path;

use policy::{AbsPath, Action, Anchors, Context, Endpoint, Layer, LayerKind, Policy};

use super::{Draft, draft, is_variables};

fn made(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    dir
}

fn of(files: &[&str]) -> Draft {
    draft(made(files).path(), "policy.toml").unwrap()
}

/// The draft over a policy that allows everything else.
fn judged(draft: &Draft, action: &Action) -> &'static str {
    let open =
        "version = 1\ndefault = { read = \"none\", land = \"none\", exec = \"none\", connect = \"none\" }\n";
    let layers = vec![
        Layer::parse("open", LayerKind::User, open).unwrap(),
        Layer::parse("policy.toml", LayerKind::Repo, &draft.text).unwrap(),
    ];
    let [workspace, home, state, config] =
        ["/work", "/home/ann", "/state/provost", "/config/provost"].map(Into::into);
    let policy =
        Policy::compile(layers, &Anchors { workspace, home, state, config }, &Context::default()).unwrap();
    policy.decide(action, &[]).word()
}

fn at(path: &str) -> AbsPath {
    AbsPath::new(Path::new(path)).unwrap()
}

fn exec(words: &str) -> Action {
    let argv: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let program = at(&format!("/usr/bin/{}", words.split(' ').next().unwrap()));
    Action::Exec(policy::Command::new(program, argv, Vec::new()))
}

#[test]
fn a_repository_of_nothing_gets_a_policy_of_nothing() {
    let draft = of(&[]);
    assert!(
        draft.rules.is_empty()
            && draft.text.contains("version = 1")
            && draft.text.contains("nothing that is known")
    );
    let anywhere = Action::Connect(Endpoint::parse("api.example.com:443").unwrap());
    assert_eq!(judged(&draft, &anywhere), "allow", "its example is a comment");
}

#[test]
fn every_use_is_found_by_each_of_its_signs() {
    for one in &super::USES {
        for sign in one.signs {
            let draft = of(&[&format!("deep/er/{}", sign.replace('*', "x"))]);
            assert!(draft.found.contains(&one.what), "{} by {sign}: {:?}", one.what, draft.found);
        }
    }
}

#[test]
fn what_others_run_or_download_waits_for_a_person() {
    let draft = of(&[
        "Cargo.toml",
        "Cargo.lock",
        "a/build.rs",
        ".github/workflows/ci.yml",
        "CLAUDE.md",
        ".git/config",
        "src/lib.rs",
    ]);
    assert_eq!(
        draft.rules,
        ["ci", "build-scripts", "dependencies", "agents-and-editors", "publish", "no-force"]
    );
    for path in ["Cargo.toml", "x/Cargo.lock", "b/c/build.rs", ".github/workflows/new.yml", "x/CLAUDE.md"] {
        assert_eq!(judged(&draft, &Action::Land(at(&format!("/work/{path}")))), "ask", "{path}");
    }
    for path in ["src/lib.rs", "x/.github/x", "rebuild.rs"] {
        assert_eq!(judged(&draft, &Action::Land(at(&format!("/work/{path}")))), "allow", "{path}");
    }
}

#[test]
fn files_of_variables_are_not_shown() {
    let draft = of(&[".env", "web/.env.local", ".env.example"]);
    assert_eq!(draft.found, [".env files"]);
    for (path, word) in
        [(".env", "deny"), ("web/.env.local", "deny"), (".env.example", "allow"), ("x", "allow")]
    {
        assert_eq!(judged(&draft, &Action::Read(at(&format!("/work/{path}")))), word, "{path}");
    }
    let strange = of(&["a \"b\"/.env", ".env"]);
    assert_eq!(
        judged(&strange, &Action::Read(at("/work/a \"b\"/.env"))),
        "deny",
        "a name cannot write the policy"
    );
    assert!(is_variables(".env.production") && !is_variables(".envrc") && !is_variables("x.env.example"));
}

#[test]
fn guard_rails_stand_where_the_words_say() {
    let draft = of(&["Cargo.toml", "main.tf", ".git/HEAD", "package-lock.json"]);
    for (words, word) in [
        ("git push -f origin main", "deny"),
        ("git push origin main", "allow"),
        ("cargo publish", "ask"),
        ("npm publish --access public", "ask"),
        ("cargo build", "allow"),
        ("terraform destroy", "ask"),
        ("terraform plan", "allow"),
        ("gem push x", "allow"),
    ] {
        assert_eq!(judged(&draft, &exec(words)), word, "{words}");
    }
}

#[test]
fn what_is_known_more_closely_is_said_once() {
    assert_eq!(of(&["package.json", "pnpm-lock.yaml"]).found, ["pnpm"]);
    assert_eq!(of(&["pyproject.toml", "uv.lock"]).found, ["uv"]);
    let draft = of(&["package.json", "package-lock.json", "yarn.lock"]);
    assert_eq!(draft.text.matches("\"./**/package.json\"").count(), 1, "{}", draft.text);
}

#[test]
fn what_others_made_is_not_looked_at() {
    let draft = of(&["node_modules/x/Cargo.toml", "target/x/.env", "vendor/y/go.mod"]);
    assert!(draft.found.is_empty(), "{:?}", draft.found);
}

#[test]
fn everything_at_once_is_a_policy() {
    let mut files: Vec<String> = super::USES
        .iter()
        .flat_map(|one| [one.signs, one.scripts, one.locks].concat())
        .map(|name| name.replace('*', "x"))
        .collect();
    files.extend(super::CI.iter().chain(&super::AGENTS).map(|(name, _)| (*name).to_owned()));
    files.extend([".env".to_owned(), ".git".to_owned()]);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let draft = of(&files);
    assert_eq!(draft.rules.len(), 8);
}
