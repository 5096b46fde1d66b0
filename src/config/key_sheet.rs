//! The key sheet: keys on paper, enough to read what is encrypted without this machine.

use std::fmt::Write;

use qrcodegen::{QrCode, QrCodeEcc};
use zeroize::Zeroizing;

/// A key with its secret. Never shown by `Debug`.
#[derive(Clone)]
pub struct SheetKey {
    /// Its name.
    pub name: String,
    /// The public recipient.
    pub recipient: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it was made: nanoseconds since the epoch.
    pub created: i64,
    /// Nothing new is encrypted for it.
    pub is_retired: bool,
    /// The private identity, `AGE-SECRET-KEY-1...`.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for SheetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SheetKey({})", self.fingerprint)
    }
}

/// What stands on the sheet before the keys.
const ABOUT: &[&str] = &[
    "Whoever has this sheet can read every backup that is encrypted for the keys on it. Without the keys nobody can, not even \
     their owner. Keep it locked away, in another building than the tapes, and on no computer.",
];

/// How a key becomes a file again and opens a tape, line by line.
const HOW: &[(&str, &[&str])] = &[
    (
        "Make a key file: scan the square code, or type the line that begins with AGE-SECRET-KEY-1 (its letters and digits \
         are checked, a mistake is told), into a file of one line:",
        &["umask 077; cat > key.txt"],
    ),
    (
        "On a machine with Reelward and the tape, take the tape in and restore with the key:",
        &["reelward catalog rebuild --identity key.txt", "reelward restore --to OUT --identity key.txt"],
    ),
    (
        "Without Reelward, with mt, dd, age, zstd and tar: the first file on each tape is a plain tar archive with README.txt, \
         which has every step. An archive file copied from tape with dd as 0001 is read by:",
        &["age -d -i key.txt 0001 | zstd -dcf | tar -xf -"],
    ),
];

fn day(nanos: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}

/// The sheet as plain text.
pub fn key_sheet_text(keys: &[SheetKey]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(2048 + keys.len() * 512));
    out.push_str("REELWARD KEY SHEET\n==================\n\n");
    for line in ABOUT {
        let _ = writeln!(out, "{}\n", wrapped(line, ""));
    }
    if keys.is_empty() {
        out.push_str("There are no encryption keys: backups are not encrypted.\n\n");
    }
    for key in keys {
        let retired = if key.is_retired { " (retired: reads what it was used for)" } else { "" };
        let _ = write!(
            out,
            "Key:         {}{retired}\nFingerprint: {}\nRecipient:   {}\nMade:        {}\n\n{}\n\n",
            plain(&key.name),
            key.fingerprint,
            key.recipient,
            day(key.created),
            *key.secret
        );
    }
    out.push_str("HOW TO READ A TAPE WITH A KEY\n-----------------------------\n\n");
    for (number, (text, commands)) in (1..).zip(HOW) {
        let _ = writeln!(out, "{number}. {}", wrapped(text, "   "));
        for command in *commands {
            let _ = writeln!(out, "       {command}");
        }
        out.push('\n');
    }
    out
}

/// The sheet as one HTML page that prints well and loads nothing.
pub fn key_sheet_html(keys: &[SheetKey]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(4096 + keys.len() * 8192));
    out.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Reelward key sheet</title>\n<style>\n\
         body{font:11pt/1.4 sans-serif;max-width:19cm;margin:1cm auto;color:#000;background:#fff}\n\
         section{border:1px solid #000;padding:.5cm;margin:.5cm 0;break-inside:avoid;display:flex;gap:.7cm}\n\
         svg{width:4.5cm;height:4.5cm;flex:none}\ncode,pre{font:10pt/1.4 monospace;overflow-wrap:anywhere}\n\
         .secret{font-size:12pt;font-weight:bold}\ndt{font-weight:bold}dd{margin:0 0 .2cm}\n</style>\n<h1>Reelward key sheet</h1>\n",
    );
    for line in ABOUT {
        let _ = writeln!(out, "<p>{}</p>", escaped(line));
    }
    if keys.is_empty() {
        out.push_str("<p>There are no encryption keys: backups are not encrypted.</p>\n");
    }
    for key in keys {
        let retired = if key.is_retired { " (retired: reads what it was used for)" } else { "" };
        let _ = writeln!(
            out,
            "<section>{}<dl><dt>Key</dt><dd>{}{retired}</dd><dt>Fingerprint</dt><dd><code>{}</code></dd>\
             <dt>Recipient</dt><dd><code>{}</code></dd><dt>Made</dt><dd>{}</dd>\
             <dt>Secret</dt><dd><code class=\"secret\">{}</code></dd></dl></section>",
            qr_svg(&key.secret),
            escaped(&plain(&key.name)),
            escaped(&key.fingerprint),
            escaped(&key.recipient),
            day(key.created),
            escaped(&key.secret)
        );
    }
    out.push_str("<h2>How to read a tape with a key</h2>\n<ol>\n");
    for (text, commands) in HOW {
        let _ = writeln!(out, "<li>{}<pre>{}</pre></li>", escaped(text), escaped(&commands.join("\n")));
    }
    out.push_str("</ol>\n</html>\n");
    out
}

/// One path of unit squares, with the four modules of quiet that the standard asks for. ISO/IEC 18004.
fn qr_svg(text: &str) -> String {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return String::new() };
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in (0..size).filter(|x| code.get_module(*x, y)) {
            let _ = write!(path, "M{},{}h1v1h-1z", x + 4, y + 4);
        }
    }
    format!(
        "<svg viewBox=\"0 0 {0} {0}\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"the secret as a QR code\">\
         <rect width=\"{0}\" height=\"{0}\" fill=\"#fff\"/><path d=\"{path}\"/></svg>",
        size + 8
    )
}

/// Names are people's; controls would break the page's lines.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Lines of at most 76 characters, further ones with an indent.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut column = indent.len();
    for word in text.split_whitespace() {
        if column > indent.len() && column + 1 + word.len() > 76 {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if column > indent.len() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::age::Identity;

    fn key(name: &str) -> SheetKey {
        let identity = Identity::generate().unwrap();
        SheetKey {
            name: name.into(),
            recipient: identity.recipient().to_string(),
            fingerprint: identity.recipient().fingerprint(),
            created: 1_700_000_000_000_000_000,
            is_retired: false,
            secret: identity.to_secret_text(),
        }
    }

    #[test]
    fn the_text_gives_the_key_back() {
        let keys = [key("one"), SheetKey { is_retired: true, ..key("two") }];
        let text = key_sheet_text(&keys);
        let found: Vec<Identity> = text.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].recipient().to_string(), keys[1].recipient);
        assert!(text.contains("2023-11-14") && text.contains("(retired"));
        assert!(text.lines().all(|line| line.len() <= 80), "{}", *text);
        assert!(key_sheet_text(&[]).contains("no encryption keys"));
    }

    #[test]
    fn the_page_is_one_page_that_loads_nothing() {
        let odd = key("<script>alert('x')</script>\n&");
        let page = key_sheet_html(std::slice::from_ref(&odd));
        assert!(page.contains(&*odd.secret) && !page.contains("<script"));
        assert!(page.contains("&lt;script&gt;"));
        for outside in ["http", "src=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_square_code_is_the_secret() {
        let secret = key("k").secret;
        let code = QrCode::encode_text(&secret, QrCodeEcc::Medium).unwrap();
        let svg = qr_svg(&secret);
        // Each dark module once, and nothing else.
        let dark = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        let dark: Vec<_> = dark.filter(|(x, y)| code.get_module(*x, *y)).collect();
        assert_eq!(svg.matches("h1v1h-1z").count(), dark.len());
        assert!(dark.iter().all(|(x, y)| svg.contains(&format!("M{},{}h", x + 4, y + 4))));
        assert!(svg.contains(&format!("viewBox=\"0 0 {0} {0}\"", code.size() + 8)));
    }
}
