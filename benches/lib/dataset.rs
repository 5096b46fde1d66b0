//! Makes the data sets of the benchmarks from a seed. `benches/run` compiles it with `rustc -O`; it needs std alone.
//!
//! ```text
//! dataset large DIR [MIB]     4 files of MIB each (default 2048), half compressible
//! dataset small DIR [COUNT]   COUNT files (default 200000) of about 4 KiB, 100 in a directory
//! dataset source DIR [COUNT]  COUNT files (default 220000) like unpacked source trees, 2.3 GB
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const SEED: u64 = 0x7265_656c_7761_7264;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |default| args.get(2).map_or(Ok(default), |text| text.parse());
    let made = match (args.first().map(String::as_str), args.get(1).map(Path::new)) {
        (Some("large"), Some(dir)) => number(2048).map(|mib| large(dir, mib)),
        (Some("small"), Some(dir)) => number(200_000).map(|count| small(dir, count)),
        (Some("source"), Some(dir)) => number(220_000).map(|count| source(dir, count)),
        _ => {
            eprintln!("usage: dataset large|small|source DIR [MIB|COUNT]");
            return ExitCode::from(2);
        }
    };
    match made {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("dataset: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("dataset: {error}");
            ExitCode::from(2)
        }
    }
}

/// xorshift64*: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn new(stream: u64) -> Self {
        Random((SEED ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Box and Muller's method.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Zipf-like: small numbers often, below `bound`.
    fn skewed(&mut self, bound: usize) -> usize {
        ((bound as f64).powf(self.unit()) as usize - 1).min(bound - 1)
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Every other 4 KiB is noise, the rest text.
fn large(dir: &Path, mib: u64) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let words = Words::new();
    for number in 0..4 {
        let mut random = Random::new(1000 + number);
        let mut file = File::create(dir.join(format!("large-{number}.bin")))?;
        let mut text = Vec::new();
        words.text(&mut random, 1 << 20, &mut text);
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..mib {
            for (index, piece) in buffer.chunks_mut(4096).enumerate() {
                if index % 2 == 0 {
                    random.fill(piece);
                } else {
                    let from = random.below((text.len() - piece.len()) as u64) as usize;
                    piece.copy_from_slice(&text[from..from + piece.len()]);
                }
            }
            file.write_all(&buffer)?;
        }
    }
    Ok(())
}

/// Half text, half noise, 1 to 8 KiB, 4.5 KiB on average.
fn small(dir: &Path, count: u64) -> io::Result<()> {
    let words = Words::new();
    let mut random = Random::new(1);
    let mut text = Vec::new();
    words.text(&mut random, 1 << 20, &mut text);
    let mut buffer = vec![0; 8192];
    for directory in 0..count.div_ceil(100) {
        let inner =
            dir.join(format!("group-{:03}", directory / 100)).join(format!("directory-{directory:05}"));
        fs::create_dir_all(&inner)?;
        for index in directory * 100..count.min(directory * 100 + 100) {
            let length = 1024 + random.below(7168) as usize;
            let half = length / 2;
            random.fill(&mut buffer[..half]);
            let from = random.below((text.len() - length) as u64) as usize;
            buffer[half..length].copy_from_slice(&text[from..from + length - half]);
            fs::write(inner.join(format!("file-{index:07}.dat")), &buffer[..length])?;
        }
    }
    Ok(())
}

/// Files in ever-branching directories, eleven in each on average; sizes lognormal with a median of 3.6 KB.
fn source(dir: &Path, count: u64) -> io::Result<()> {
    const EXTENSIONS: [(&str, u64); 12] = [
        ("c", 30),
        ("h", 28),
        ("rs", 8),
        ("py", 7),
        ("txt", 5),
        ("md", 4),
        ("json", 4),
        ("S", 3),
        ("yaml", 4),
        ("js", 4),
        ("dts", 2),
        ("sh", 1),
    ];
    let words = Words::new();
    let mut random = Random::new(2);
    let directories = source_directories(dir, &words, &mut random, (count / 11).max(1) as usize);
    for path in &directories {
        fs::create_dir_all(path)?;
    }
    let mut content = Vec::new();
    for index in 0..count {
        let path = &directories[random.below(directories.len() as u64) as usize];
        let mut pick = random.below(100);
        let extension = EXTENSIONS.iter().find(|(_, share)| {
            let found = pick < *share;
            pick = pick.saturating_sub(*share);
            found
        });
        let extension = extension.map_or("c", |(name, _)| name);
        let size = (3600.0 * (1.46 * random.normal()).exp()).min(4e6) as usize;
        words.text(&mut random, size, &mut content);
        // The number keeps names apart; real trees have some in theirs too.
        let name =
            format!("{}_{}{}.{extension}", words.pick(&mut random), words.pick(&mut random), index % 9973);
        fs::write(path.join(name), &content)?;
    }
    Ok(())
}

fn source_directories(root: &Path, words: &Words, random: &mut Random, count: usize) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut depths = vec![0];
    while found.len() < count {
        let parent = random.below(found.len() as u64) as usize;
        if depths[parent] >= 9 {
            continue;
        }
        let name = format!("{}{}", words.pick(random), found.len() % 977);
        found.push(found[parent].join(name));
        depths.push(depths[parent] + 1);
    }
    found
}

/// A vocabulary and idioms from which text like code is made.
struct Words {
    words: Vec<String>,
    idioms: Vec<String>,
}

impl Words {
    fn new() -> Self {
        const SYLLABLES: [&str; 32] = [
            "re", "get", "set", "buf", "len", "ctx", "dev", "page", "node", "lock", "al", "free", "in", "it",
            "map", "key", "io", "net", "err", "ptr", "op", "state", "list", "add", "del", "max", "id", "str",
            "reg", "val", "mode", "time",
        ];
        let mut random = Random::new(3);
        let words: Vec<String> = (0..6000)
            .map(|_| {
                let parts = 1 + random.below(3);
                let picked: Vec<&str> = (0..parts).map(|_| SYLLABLES[random.below(32) as usize]).collect();
                picked.join(if random.below(3) == 0 { "_" } else { "" })
            })
            .collect();
        let mut idioms = Vec::new();
        for _ in 0..1500 {
            let (a, b, c) = (random.skewed(6000), random.skewed(6000), random.skewed(6000));
            let (a, b, c) = (&words[a], &words[b], &words[c]);
            idioms.push(match random.below(8) {
                0 => format!("if ({a}->{b} == NULL)\n\t\treturn -EINVAL;\n"),
                1 => format!("static int {a}_{b}(struct {c} *{c})\n{{\n"),
                2 => format!("for (i = 0; i < {a}->{b}; i++)\n\t\t{c}[i] = 0;\n"),
                3 => format!(
                    "#define {}_{} 0x{:04x}\n",
                    a.to_uppercase(),
                    b.to_uppercase(),
                    random.below(65536)
                ),
                4 => format!("/* {a} the {b} before {c} */\n"),
                5 => format!("#include <linux/{a}.h>\n"),
                6 => format!("let {a} = self.{b}.{c}()?;\n"),
                _ => format!("return {a}({b}, {c});\n}}\n\n"),
            });
        }
        Words { words, idioms }
    }

    fn pick(&self, random: &mut Random) -> &str {
        &self.words[random.below(self.words.len() as u64) as usize]
    }

    /// Replaces `out` by exactly `length` bytes: lines of idioms and of words, indented.
    fn text(&self, random: &mut Random, length: usize, out: &mut Vec<u8>) {
        out.clear();
        // A file speaks of few things: its own vocabulary is a window of the whole.
        let window = random.below(self.words.len() as u64 - 400) as usize;
        while out.len() < length {
            let bits = random.next();
            out.extend_from_slice(&b"\t\t\t\t"[..(bits & 3) as usize]);
            if bits >> 2 & 3 != 0 {
                out.extend_from_slice(self.idioms[random.skewed(self.idioms.len())].as_bytes());
                continue;
            }
            for index in 0..2 + (bits >> 8 & 7) {
                let word = &self.words[window + random.skewed(400)];
                out.extend_from_slice(word.as_bytes());
                out.extend_from_slice(
                    [", ", " = ", "->", "(", ") ", " + "][((bits >> (16 + 4 * index)) % 6) as usize]
                        .as_bytes(),
                );
            }
            out.extend_from_slice(b";\n");
        }
        out.truncate(length);
    }
}
