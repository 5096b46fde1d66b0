//! What one source file names, and the rules on it.

use super::tokens::{Token, tokens};

/// One path that a file names, resolved to the module at the crate's root.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    /// Top module, or `*` for all of them.
    pub module: String,
    /// From 1.
    pub line: usize,
    /// Inside `#[cfg(test)]` or a file of tests.
    pub in_tests: bool,
}

/// The modules of the crate's root, in the order in which `lib.rs` declares them.
pub fn module_order(lib: &str) -> Vec<String> {
    let tokens = tokens(lib);
    tokens
        .windows(3)
        .filter(|window| window[0].text == "mod" && window[2].text == ";")
        .map(|window| window[1].text.clone())
        .collect()
}

/// Usages of modules that stand above `file`'s own in `order`.
pub fn upward(file: &str, text: &str, order: &[String]) -> Vec<String> {
    let Some(own) = top_module(file) else { return Vec::new() };
    let rank = |module: &str| order.iter().position(|listed| listed == module);
    let own_rank = rank(&own).unwrap_or_else(|| panic!("{file}: src/lib.rs does not declare {own}"));
    let above =
        |usage: &Usage| usage.module == "*" || rank(&usage.module).is_some_and(|rank| rank < own_rank);
    usages(file, text)
        .iter()
        .filter(|usage| above(usage))
        .map(|usage| format!("{file}:{}: {own} uses {}, which stands above it", usage.line, usage.module))
        .collect()
}

/// Usages in production code that `rules` (module, modules it must not name) forbid.
pub fn forbidden(file: &str, text: &str, rules: &[(&str, &[&str])]) -> Vec<String> {
    let Some(own) = top_module(file) else { return Vec::new() };
    let Some((_, denied)) = rules.iter().find(|(module, _)| *module == own) else { return Vec::new() };
    usages(file, text)
        .iter()
        .filter(|usage| !usage.in_tests && denied.contains(&usage.module.as_str()))
        .map(|usage| format!("{file}:{}: {own} must not know {}", usage.line, usage.module))
        .collect()
}

/// Lines that hold the keyword `unsafe`.
pub fn unsafe_lines(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    tokens.iter().filter(|t| t.text == "unsafe").map(|t| format!("{file}:{}: unsafe", t.line)).collect()
}

/// Lines outside of tests.
pub fn production_lines(file: &str, text: &str) -> usize {
    if is_test_file(file) {
        return 0;
    }
    let tests: usize =
        test_spans(&tokens(text)).iter().map(|span| span.last_line - span.first_line + 1).sum();
    text.lines().count() - tests
}

/// `src/a/b.rs` and `src/a/mod.rs` belong to `a`; `lib.rs` and `main.rs` to none.
fn top_module(file: &str) -> Option<String> {
    module_path(file).into_iter().next()
}

fn module_path(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&inner) {
        path.pop();
    }
    path
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("_tests.rs") || file.contains("/tests/")
}

/// A `#[cfg(test)]` module written inline.
struct TestSpan {
    first_line: usize,
    last_line: usize,
}

fn test_spans(tokens: &[Token]) -> Vec<TestSpan> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut spans = Vec::new();
    for start in 0..tokens.len() {
        let here = &tokens[start..];
        let is_attribute = here.len() > attribute.len()
            && here.iter().zip(attribute).all(|(token, wanted)| token.text == wanted);
        let Some(open) = here.iter().position(|token| token.text == "{" || token.text == ";") else { break };
        if !is_attribute || here[open].text == ";" {
            continue;
        }
        let mut depth = 0;
        for token in &here[open..] {
            depth += i32::from(token.text == "{") - i32::from(token.text == "}");
            if depth == 0 {
                spans.push(TestSpan { first_line: here[0].line, last_line: token.line });
                break;
            }
        }
    }
    spans
}

/// Every path of `text` that begins with `crate`, `self` or `super`, resolved to the crate's root.
fn usages(file: &str, text: &str) -> Vec<Usage> {
    let tokens = tokens(text);
    let spans = test_spans(&tokens);
    let mut walker = Walker { tokens: &tokens, found: Vec::new() };
    let mut module = module_path(file);
    let mut depth = 0;
    let mut inline: Vec<i32> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "mod" if walker.text(at + 2) == "{" => {
                module.push(tokens[at + 1].text.clone());
                inline.push(depth);
                depth += 1;
                at += 3;
            }
            "crate" | "super" | "self" if at == 0 || tokens[at - 1].text != "::" => {
                at = walker.path(at, module.clone()).max(at + 1);
            }
            brace => {
                depth += i32::from(brace == "{") - i32::from(brace == "}");
                if brace == "}" && inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
                at += 1;
            }
        }
    }
    // One group may name the same module many times.
    walker.found.dedup();
    let in_tests = |line| {
        is_test_file(file) || spans.iter().any(|span| (span.first_line..=span.last_line).contains(&line))
    };
    walker.found.into_iter().map(|(module, line)| Usage { module, line, in_tests: in_tests(line) }).collect()
}

struct Walker<'a> {
    tokens: &'a [Token],
    found: Vec<(String, usize)>,
}

impl Walker<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    /// Follows one path or use tree from `at`, standing in module `base`; returns where it ends.
    fn path(&mut self, mut at: usize, mut base: Vec<String>) -> usize {
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        loop {
            match self.text(at) {
                "crate" => base.clear(),
                "self" => {}
                "super" => _ = base.pop(),
                "{" => return self.group(at + 1, &base),
                "*" => {
                    self.found.push((base.first().cloned().unwrap_or_else(|| "*".to_owned()), line));
                    return at + 1;
                }
                name if name.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                    base.push(name.to_owned())
                }
                _ => break,
            }
            at += 1;
            if self.text(at) != "::" {
                break;
            }
            at += 1;
        }
        match base.first() {
            Some(module) => self.found.push((module.clone(), line)),
            // The root itself under another name hides what is used.
            None if self.text(at) == "as" => self.found.push(("*".to_owned(), line)),
            None => {}
        }
        at
    }

    fn group(&mut self, mut at: usize, base: &[String]) -> usize {
        while at < self.tokens.len() {
            match self.text(at) {
                "}" => return at + 1,
                "," => at += 1,
                "as" => at += 2,
                _ => at = self.path(at, base.to_vec()).max(at + 1),
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Vec<String> {
        module_order("/// `mod x;`\npub mod cli;\npub mod engine;\npub mod drive;\nmod scsi;\n")
    }

    fn upward_lines(file: &str, text: &str) -> Vec<String> {
        upward(file, text, &order()).iter().map(|fault| fault.split(' ').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_order_is_read() {
        assert_eq!(order(), ["cli", "engine", "drive", "scsi"]);
    }

    #[test]
    fn every_way_to_name_an_upper_module_is_caught() {
        for planted in [
            "use crate::engine;",
            "use crate::engine::backup::Plan as P;",
            "use crate::{scsi::Cdb, engine::{self, backup}};",
            "use crate::{self as root};",
            "use crate as root;",
            "use crate::*;",
            "use super::super::engine::x;",
            "use super::super::{engine::x, scsi};",
            "use super::{super::engine};",
            "use self::super::super::engine;",
            "fn f() -> crate::engine::Plan { x }",
            "fn f() { crate::cli::run::<u8>() }",
            "mod inner { use super::super::super::engine; }",
            "macro_rules! m { () => { $crate::engine::x() } }",
            "#[cfg(test)] mod tests { use crate::engine; }",
        ] {
            assert_eq!(
                upward_lines("src/drive/read.rs", &format!("\n{planted}\n")),
                ["src/drive/read.rs:2:"],
                "{planted}"
            );
        }
        assert_eq!(upward_lines("src/drive/mod.rs", "use super::engine;"), ["src/drive/mod.rs:1:"]);
        assert_eq!(upward_lines("src/drive.rs", "use super::engine;"), ["src/drive.rs:1:"]);
    }

    #[test]
    fn what_points_down_or_stays_is_let_through() {
        for good in [
            "use crate::scsi::Cdb;",
            "use crate::{drive::write, scsi::{self, transport as engine}};",
            "use super::engine;",
            "use super::super::scsi;",
            "pub(crate) fn f(self: &Self) { self.engine(); self::engine::x(); }",
            "// crate::engine\n/* crate::cli */ const A: &str = \"crate::engine\";",
            "mod inner { use super::super::engine; }",
            "mod a { fn f() { if x { y } } } mod b { use super::super::engine; }",
            "use std::engine::x; use other::crate_engine;",
        ] {
            assert_eq!(upward_lines("src/drive/read.rs", good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn main_may_use_all() {
        assert_eq!(upward_lines("src/main.rs", "use crate::cli;"), Vec::<String>::new());
    }

    #[test]
    fn what_must_not_be_known_is_caught_outside_of_tests() {
        let rules: &[(&str, &[&str])] = &[("drive", &["scsi"])];
        let text =
            "use crate::scsi;\n#[cfg(test)]\nmod tests {\n    use crate::scsi;\n}\nuse crate::scsi::x;\n";
        let faults = forbidden("src/drive/read.rs", text, rules);
        assert_eq!(
            faults,
            [
                "src/drive/read.rs:1: drive must not know scsi",
                "src/drive/read.rs:6: drive must not know scsi"
            ]
        );
        assert!(forbidden("src/drive/tests.rs", text, rules).is_empty());
        assert!(forbidden("src/engine/tests.rs", text, rules).is_empty());
    }

    #[test]
    fn unsafe_is_found_as_a_word() {
        let text = "#![deny(unsafe_code)]\n// unsafe\nfn f() { unsafe { g() } }\n";
        assert_eq!(unsafe_lines("src/scsi/x.rs", text), ["src/scsi/x.rs:3: unsafe"]);
    }

    #[test]
    fn lines_of_tests_do_not_count() {
        let text = "a\nb\n#[cfg(test)]\nmod tests {\n    fn f() { g() }\n}\nc\n";
        assert_eq!(production_lines("src/x.rs", text), 3);
        assert_eq!(production_lines("src/x.rs", "#[cfg(test)]\nmod tests;\nfn f() {}\n"), 3);
        assert_eq!(production_lines("src/x/tests.rs", text), 0);
    }
}
