#![no_main]
//! Search patterns: pattern, NUL, text.

use libfuzzer_sys::fuzz_target;
use reelward::catalog::Pattern;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (pattern, text) = bytes.split_at(at);
    for ignore_case in [false, true] {
        let compiled = Pattern::new(pattern, ignore_case);
        let matches = compiled.matches(text);
        // To ignore case never matches less, but for a class of what must not stand there.
        let has_negation = pattern.windows(2).any(|pair| matches!(pair, b"[!" | b"[^"));
        assert!(!matches || has_negation || Pattern::new(pattern, true).matches(text));
    }
    let literal: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
    if !text.contains(&b'/') {
        assert!(Pattern::new(&literal, false).matches(text));
    }
});
