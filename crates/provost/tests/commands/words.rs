//! What is typed wrongly, or a second time.

use crate::person::Person;

#[test]
fn a_flag_that_there_is_not_is_no_command() {
    let person = Person::new();
    let (status, _, said) = person.says(&["run", "--profil", "build", "--", "true"]);
    assert!(status == Some(125) && said.contains("--profile"), "{said}");
    let (status, said, _) = person.says(&["policy", "explain", "exec", "git", "push", "-f"]);
    assert!(status == Some(0) && said.contains("git push -f"), "{said}");
}

#[test]
fn what_is_left_out_has_a_name() {
    let person = Person::new();
    let said = person.says(&["policy", "explain", "exec"]).2;
    assert!(said.contains("<KIND> <WORDS>..."), "{said}");
    let said = person.says(&["stop"]).2;
    assert!(said.contains("no run is at work"), "{said}");
}
