use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern.as_bytes(), false).matches(text.as_bytes())
}

#[test]
fn patterns_mean_what_they_say() {
    assert!(matches("*.txt", "a.txt") && !matches("*.txt", "a.txt2"));
    assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
    assert!(matches("[a-c]x", "bx") && !matches("[!a-c]x", "bx") && matches("[]]", "]"));
    assert!(matches("a[", "a[") && matches(r"\*", "*") && !matches(r"\*", "x"));
    assert!(matches("name", "name") && !matches("name", "names"));
    assert!(matches("/a/*", "/a/b/c") && !matches("/a/*", "/a"));
    assert!(matches("a/*", "/a/b") && matches("*/b", "/a/b"));
    assert!(Pattern::new(b"*.TXT", true).matches(b"x.txt") && Pattern::new(b"[A]", true).matches(b"a"));
}

fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|i| naive(rest, &text[i..])),
        Some((b'?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn backtracking_agrees_with_recursion(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn any_bytes_make_a_pattern(pattern in proptest::collection::vec(any::<u8>(), 0..20), text in proptest::collection::vec(any::<u8>(), 0..20)) {
        let pattern = Pattern::new(&pattern, true);
        let _ = (pattern.matches(&text), pattern.shape(), pattern.required(), pattern.base());
    }
}
