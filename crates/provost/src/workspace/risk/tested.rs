//! Signs that tests become weaker: fewer of them, skipped ones, fewer assertions, assertions that always hold.
//!
//! Owns how the usual languages and tools write these. Does not own how grave anything else is.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Grade, Sign};
use crate::workspace::name::folded;

/// What added and removed lines say of tests. `tests`: the file is one of tests; `gone`: it is deleted, which says it all.
pub(super) fn signs(added: &[Cow<'_, str>], removed: &[Cow<'_, str>], tests: bool, gone: bool) -> Vec<Sign> {
    let count =
        |lines: &[Cow<'_, str>], is: &dyn Fn(&str) -> bool| lines.iter().filter(|line| is(line)).count();
    let fewer = |is: &dyn Fn(&str) -> bool| count(removed, is).saturating_sub(count(added, is));
    let mut signs = Vec::new();
    if count(added, &skips) > count(removed, &skips) {
        signs.push((Grade::High, "tests are skipped".to_owned()));
    }
    if added.iter().any(|line| always_holds(line)) {
        signs.push((Grade::High, "an assertion always holds".to_owned()));
    }
    if gone {
        return signs;
    }
    let begins = |line: &str| begins(line, tests);
    if let many @ 1.. = fewer(&begins) {
        signs.push((Grade::High, format!("{} fewer", crate::render::count(many as u64, "test"))));
    }
    let asserts = |line: &str| asserts(line, tests);
    if let many @ 1.. = fewer(&asserts) {
        signs.push((Grade::Medium, format!("{} fewer", crate::render::count(many as u64, "assertion"))));
    }
    signs
}

/// Whether a path is one of tests, as the usual tools name them.
pub(super) fn is_test(path: &Path) -> bool {
    let names: Vec<_> = path.iter().map(|name| folded(name.as_bytes())).collect();
    let Some((name, folders)) = names.split_last() else { return false };
    let stem = name.rsplit_once('.').map_or(name.as_ref(), |(stem, _)| stem);
    folders.iter().any(|folder| matches!(folder.as_ref(), "tests" | "test" | "__tests__" | "spec" | "specs"))
        || matches!(stem, "tests" | "test")
        || stem.starts_with("test_")
        || ["_test", "_tests", ".test", ".spec", "_spec"].iter().any(|end| stem.ends_with(end))
        || ((name.ends_with(".java") || name.ends_with(".kt") || name.ends_with(".cs"))
            && (stem.ends_with("test") || stem.ends_with("tests")))
}

/// Whether a line takes a test out of those that run, or runs no others beside it.
fn skips(line: &str) -> bool {
    const SKIPS: [&str; 34] = [
        "#[ignore",
        "#[cfg(any())]",
        "mark.skip",
        "mark.xfail",
        "pytest.skip(",
        "unittest.skip",
        "unittest.expectedFailure",
        "SkipTest(",
        ".skipTest(",
        "it.skip(",
        "it.skip.",
        "it.skipIf(",
        "it.fails(",
        "it.failing(",
        "it.todo(",
        "test.skip(",
        "test.skip.",
        "test.skipIf(",
        "test.fixme(",
        "test.todo(",
        "describe.skip(",
        "it.only(",
        "test.only(",
        "describe.only(",
        "t.Skip(",
        "t.Skipf(",
        "t.SkipNow(",
        "@Disabled",
        "@Ignore",
        "@EnabledIf",
        "GTEST_SKIP(",
        "t.skip(",
        "continue-on-error: true",
        "allow_failure: true",
    ];
    const STARTS: [&str; 6] = ["xit(", "xtest(", "xdescribe(", "fit(", "fdescribe(", "//go:build ignore"];
    let starts = line.trim_start();
    SKIPS.iter().any(|skip| line.contains(skip)) || STARTS.iter().any(|skip| starts.starts_with(skip))
}

/// Whether a test begins with a line.
fn begins(line: &str, tests: bool) -> bool {
    const ANYWHERE: [&str; 11] = [
        "#[test]",
        "#[tokio::test",
        "#[rstest",
        "#[test_case",
        "def test_",
        "async def test_",
        "@Test",
        "@ParameterizedTest",
        "[Fact]",
        "[Test]",
        "func Test",
    ];
    // A test that is skipped is there still.
    const IN_TESTS: [&str; 16] = [
        "it(",
        "it(`",
        "it.each(",
        "it.skip",
        "it.only",
        "it.todo",
        "it.fail",
        "test(",
        "test.each(",
        "test.skip",
        "test.only",
        "test.todo",
        "xit(",
        "fit(",
        "xtest(",
        "Deno.test(",
    ];
    let starts = line.trim_start();
    ANYWHERE.iter().any(|word| starts.starts_with(word))
        || (tests && IN_TESTS.iter().any(|word| starts.starts_with(word)))
}

/// Whether a line asserts something.
fn asserts(line: &str, tests: bool) -> bool {
    let line = line.trim_start();
    if ["//", "#", "*", "use ", "import ", "from "].iter().any(|start| line.starts_with(start)) {
        return false;
    }
    const IN_TESTS: [&str; 8] =
        ["expect(", ".should", "t.Error", "t.Fatal", "require.", "EXPECT_", "must_equal", "pytest.raises("];
    line.contains("assert")
        || line.contains("ASSERT_")
        || (tests && IN_TESTS.iter().any(|word| line.contains(word)))
}

/// Whether a line asserts what is always so.
fn always_holds(line: &str) -> bool {
    const ALWAYS: [&str; 16] = [
        "assert!(true)",
        "assert!(true,",
        "|| true)",
        "||true)",
        "assert(true)",
        "assert.ok(true)",
        "assertTrue(true)",
        "assertTrue(True)",
        "expect(true).toBe(true)",
        "expect(true).toEqual(true)",
        "expect(true).toBeTruthy()",
        "expect(1).toBe(1)",
        "assert_eq!(1, 1)",
        "assert.True(t, true)",
        "require.True(t, true)",
        "Assert.True(true)",
    ];
    let line = line.trim();
    let python = line.strip_prefix("assert ").map(|what| what.trim_end_matches(';').trim());
    let is_assertion = line.contains("assert")
        || line.contains("Assert")
        || line.contains("expect(")
        || line.contains("require.");
    (is_assertion && ALWAYS.iter().any(|always| line.contains(always)))
        || python.is_some_and(|what| {
            matches!(what, "True" | "true" | "1" | "1 == 1")
                || what.ends_with(" or True")
                || what.starts_with("True,")
        })
}

/// Whether a line of a build or a script runs tests and passes over what they say.
pub(super) fn passes_over(line: &str) -> bool {
    const OVER: [&str; 9] = [
        "|| true",
        "||true",
        "|| :",
        "|| exit 0",
        "; true",
        "-DskipTests",
        "-Dmaven.test.skip",
        "--passWithNoTests",
        "-x test",
    ];
    let line = line.to_ascii_lowercase();
    let runs = ["test", "pytest", "jest", "check", "mvn", "gradle"].iter().any(|word| line.contains(word));
    runs && OVER.iter().any(|over| line.contains(&over.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{facts, lines, risk};
    use super::super::{Facts, of_file};
    use super::*;

    #[test]
    fn tests_that_become_weaker_are_pointed_out() {
        let high = |path, text| {
            assert_eq!(risk(path, text), (Some(Grade::High), "tests are skipped".into()), "{text}")
        };
        high("src/lib.rs", "+    #[ignore = \"slow\"]\n");
        high("tests/test_a.py", "+@pytest.mark.skip\n");
        high("web/a.test.ts", "-it('works', f)\n+it.skip('works', f)\n");
        high("a_test.go", "+\tt.Skip(\"later\")\n");
        let fewer = risk("tests/a.rs", "-    assert!(a);\n-    assert!(b);\n+    assert!(a || true);\n");
        assert_eq!(fewer, (Some(Grade::High), "an assertion always holds; 1 assertion fewer".into()));
        let fewer = risk("web/a.spec.js", "-  expect(a).toBe(1)\n");
        assert_eq!(fewer, (Some(Grade::Medium), "1 assertion fewer".into()));
        // A skip that goes, and an assertion that moves, weaken nothing.
        assert_eq!(risk("tests/a.rs", "-#[ignore]\n").0, None);
        assert_eq!(risk("tests/a.rs", "-assert!(a);\n x\n+assert!(a);\n").0, None);
        let gone = Facts { stands: (true, false), ..facts("tests/a.rs") };
        let risk = of_file(&gone, &lines("-assert!(a);\n"));
        assert_eq!(
            (risk.grade, risk.reasons),
            (Some(Grade::High), vec!["a file of tests is deleted".to_owned()])
        );
    }

    fn told(path: &str, text: &str, expected: &str) {
        assert_eq!(risk(path, text).1, expected, "{path}\n{text}");
    }

    #[test]
    fn in_each_language_a_weaker_test_is_told_by_what_it_is() {
        // Rust
        told(
            "src/a.rs",
            "-    #[test]\n-    fn adds() {\n-        assert_eq!(add(1, 2), 3);\n-    }\n",
            "1 test fewer; 1 assertion fewer",
        );
        told("src/a.rs", "-    #[test]\n+    // #[test]\n", "1 test fewer");
        told(
            "tests/a.rs",
            "-    assert_eq!(add(1, 2), 3);\n+    assert!(true);\n",
            "an assertion always holds",
        );
        told(
            "src/a.rs",
            "-    #[tokio::test]\n+    #[tokio::test]\n+    #[ignore = \"flaky\"]\n",
            "tests are skipped",
        );
        told("src/a.rs", "+#[cfg(any())]\n mod tests {\n", "tests are skipped");
        // Python
        told(
            "tests/test_a.py",
            " class A(TestCase):\n-    def test_b(self):\n-        self.assertEqual(b(), 1)\n",
            "1 test fewer; 1 assertion fewer",
        );
        told("test_a.py", "+@unittest.skipIf(True, 'later')\n def test_a():\n", "tests are skipped");
        told("test_a.py", "+    raise unittest.SkipTest('x')\n", "tests are skipped");
        told("test_a.py", "-    assert parse('1') == 1\n+    assert True\n", "an assertion always holds");
        told(
            "test_a.py",
            "-    assert parse('1') == 1\n+    assert parse('1') == 1 or True\n",
            "an assertion always holds",
        );
        told("test_a.py", "-    with pytest.raises(ValueError):\n-        parse('x')\n", "1 assertion fewer");
    }

    #[test]
    fn in_the_languages_of_the_web_and_of_servers_as_well() {
        // JavaScript and TypeScript
        told(
            "src/a.test.ts",
            "-  it('adds', () => {\n-    expect(add(1, 2)).toBe(3)\n-  })\n",
            "1 test fewer; 1 assertion fewer",
        );
        told("src/a.test.ts", "-describe('a', () => {\n+describe.skip('a', () => {\n", "tests are skipped");
        told(
            "src/a.spec.js",
            "-  test.each([1, 2])('x', f)\n+  test.skip.each([1, 2])('x', f)\n",
            "tests are skipped",
        );
        told(
            "__tests__/a.js",
            "-  expect(add(1, 2)).toBe(3)\n+  expect(true).toBe(true)\n",
            "an assertion always holds",
        );
        told("__tests__/a.js", "-  it('adds', f)\n+  fit('adds', f)\n", "tests are skipped");
        // Go
        told(
            "a_test.go",
            "-func TestAdd(t *testing.T) {\n-\tif add(1, 2) != 3 {\n-\t\tt.Fatalf(\"no\")\n-\t}\n-}\n",
            "1 test fewer; 1 assertion fewer",
        );
        told("a_test.go", " func TestAdd(t *testing.T) {\n+\tt.Skip()\n", "tests are skipped");
        told("a_test.go", "+//go:build ignore\n", "tests are skipped");
        told(
            "a_test.go",
            "-\trequire.Equal(t, 3, add(1, 2))\n+\trequire.True(t, true)\n",
            "an assertion always holds",
        );
        // Java
        told(
            "src/test/java/ATest.java",
            "-    @Test\n-    void adds() {\n-        assertEquals(3, add(1, 2));\n-    }\n",
            "1 test fewer; 1 assertion fewer",
        );
        told("src/test/java/ATest.java", "+    @Disabled(\"later\")\n     @Test\n", "tests are skipped");
        told(
            "src/test/java/ATest.java",
            "-        assertThat(add(1, 2)).isEqualTo(3);\n+        assertTrue(true);\n",
            "an assertion always holds",
        );
    }

    #[test]
    fn what_passes_over_the_tests_that_it_runs_is_pointed_out() {
        for (path, line) in [
            ("Makefile", "+\tcargo test || true\n"),
            (".github/workflows/a.yml", "+      - run: npm test || exit 0\n"),
            ("ci.sh", "+mvn -q verify -DskipTests\n"),
        ] {
            assert!(risk(path, line).1.contains("a test that fails would pass"), "{path} {line}");
        }
    }

    #[test]
    fn what_is_edited_and_as_strict_as_before_is_not_pointed_out() {
        for (path, text) in [
            ("src/a.rs", "-    fn adds() {\n+    fn adds_two() {\n"),
            ("test_a.py", "-def test_a():\n+def test_b():\n-    assert a() == 1\n+    assert a() == 2\n"),
            ("a_test.go", "-func TestA(t *testing.T) {\n+func TestB(t *testing.T) {\n"),
            ("src/a.test.ts", "-  it('adds', f)\n+  it('adds numbers', f)\n"),
            ("src/a.ts", "-  if (it(x)) {\n+  if (fits(x)) {\n"),
            ("src/a.rs", "+    let open = a || true;\n"),
            ("docs/testing.md", "+run `cargo test || true`\n"),
            (
                "src/test/java/ATest.java",
                "-    @Test\n-    void a() { assertTrue(a); }\n+    @Test\n+    void b() { assertTrue(b); }\n",
            ),
        ] {
            assert_eq!(risk(path, text).1, "", "{path}\n{text}");
        }
    }
}
