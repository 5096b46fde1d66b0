//! What `{:?}` shows of a value, as JSON: every field of a parsed structure, without a serialiser for each.

use serde_json::{Map, Value};

/// Structures become objects, `Some(x)` is `x`, `None` is `null`, enum names are strings.
pub fn debug_json(value: &impl std::fmt::Debug) -> Value {
    let text = format!("{value:?}");
    let mut reader = Reader { text: &text };
    let value = reader.value();
    assert!(reader.text.is_empty(), "not understood: {}", reader.text);
    value
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self, what: &str) -> bool {
        let rest = self.text.trim_start();
        let found = rest.strip_prefix(what);
        self.text = found.unwrap_or(rest);
        found.is_some()
    }

    /// Items up to `end`, separated by commas.
    fn list<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !self.skip(end) {
            items.push(item(self));
            self.skip(",");
        }
        items
    }

    fn word(&mut self) -> String {
        let rest = self.text.trim_start();
        let end = rest.find(|c: char| " ,:(){}[]".contains(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.text = rest;
        word.to_owned()
    }

    fn string(&mut self) -> String {
        let rest = self.text.trim_start();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let string = stream.next().expect(rest).expect(rest);
        self.text = &rest[stream.byte_offset()..];
        string
    }

    fn value(&mut self) -> Value {
        if self.skip("[") {
            return self.list("]", Self::value).into();
        }
        if self.skip("(") {
            return self.list(")", Self::value).into();
        }
        if self.text.trim_start().starts_with('"') {
            return self.string().into();
        }
        let word = self.word();
        if self.skip("{") {
            let fields = self.list("}", |reader| {
                let name = reader.word();
                reader.skip(":");
                (name, reader.value())
            });
            return fields.into_iter().collect::<Map<_, _>>().into();
        }
        if self.skip("(") {
            let mut inner = self.list(")", Self::value);
            let inner = if inner.len() == 1 { inner.remove(0) } else { inner.into() };
            let named = || Map::from_iter([(word.clone(), inner.clone())]).into();
            return if word == "Some" { inner } else { named() };
        }
        match word.as_str() {
            "None" => Value::Null,
            "true" => true.into(),
            "false" => false.into(),
            number => serde_json::from_str(number).unwrap_or_else(|_| number.into()),
        }
    }
}

#[test]
fn structures_become_objects() {
    #[derive(Debug)]
    #[allow(dead_code)] // shown
    struct Shown {
        name: &'static str,
        maybe: Option<(u8, u8)>,
        list: Vec<Option<i64>>,
        time: std::time::Duration,
        kind: std::cmp::Ordering,
        code: reelward::scsi::Code,
    }
    let shown = Shown {
        name: "a \"b\", c",
        maybe: Some((1, 2)),
        list: vec![None, Some(-3)],
        time: std::time::Duration::from_millis(1500),
        kind: std::cmp::Ordering::Less,
        code: reelward::scsi::Code(4, 1),
    };
    let expected = serde_json::json!({
        "name": "a \"b\", c", "maybe": [1, 2], "list": [null, -3], "time": "1.5s", "kind": "Less", "code": {"Code": [4, 1]},
    });
    assert_eq!(debug_json(&shown), expected);
}
