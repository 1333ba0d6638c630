//! The mutation list stays true: what each mutation takes away is there, and so are the tests that must notice.

use super::pages::test_is_there;
use super::repository::{members, root, text};
use e2e::mutation::Mutation;

#[test]
fn every_mutation_fits_the_code_and_names_tests_that_are_there() {
    let members = members();
    for mutation in Mutation::all(&root()).unwrap() {
        for change in &mutation.changes {
            let text = text(&change.file).unwrap();
            change.made(&text).unwrap_or_else(|why| panic!("{}: {why}", mutation.name));
        }
        for test in &mutation.tests {
            let there = test_is_there(&members, &test.member, &test.name);
            assert!(there, "{}: no test `{} {}`", mutation.name, test.member, test.name);
        }
    }
}
