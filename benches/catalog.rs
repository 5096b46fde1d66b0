//! Builds a catalog of N members from a seed and measures it: `cargo bench --bench catalog -- [--members N] [--sets N] [--runs N]`.

#![allow(clippy::expect_used, reason = "a bench that fails shall stop")]

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reelward::catalog::{
    Archive, Catalog, Checkpoint, FindQuery, IndexLocation, NewPart, NewSet, NewVolume, PartEnd, SetId,
    SetState, VolumeId,
};
use reelward::format::v1::index::{PartState, SetDescription};
use reelward::format::v1::{Kind, Member, Notes};

/// SplitMix64: the same names on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Small numbers are common, as words are in names.
    fn skewed(&mut self, n: u64) -> u64 {
        let x = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((n as f64 * x * x) as u64).min(n - 1)
    }
}

const EXTENSIONS: &[&str] = &[
    "jpg", "c", "h", "txt", "py", "html", "js", "png", "pdf", "o", "json", "xml", "rs", "md", "tar", "gz",
    "mp3", "docx", "xlsx", "log", "csv", "svg", "so", "ts", "CR2", "mkv", "eml", "bak", "iso", "parquet",
];

/// Words made of syllables: about as many as people use in file names.
fn words(random: &mut Random) -> Vec<String> {
    const START: &[&str] = &[
        "b", "br", "c", "ch", "d", "dr", "f", "g", "h", "j", "k", "l", "m", "n", "p", "pr", "qu", "r", "s",
        "st", "t", "tr", "v", "w", "z",
    ];
    const MIDDLE: &[&str] = &["a", "e", "i", "o", "u", "ai", "ea", "ou", "io"];
    const END: &[&str] = &["", "n", "r", "s", "t", "l", "m", "ck", "nd", "st", "x"];
    (0..6000)
        .map(|_| {
            let mut word = String::new();
            for _ in 0..1 + random.below(3) {
                for parts in [START, MIDDLE, END] {
                    word.push_str(parts[random.below(parts.len() as u64) as usize]);
                }
            }
            word
        })
        .collect()
}

fn name(random: &mut Random, words: &[String], style: u64, index: u64, extension: &str) -> String {
    let word = |random: &mut Random| words[random.skewed(words.len() as u64) as usize].clone();
    match style {
        0 => format!("IMG_{:04}.{extension}", index % 10_000),
        1 => format!("{}_{}.{extension}", word(random), word(random)),
        2 => format!("{}-{:03}.{extension}", word(random), random.below(1000)),
        3 => format!("{}.{extension}", word(random)),
        4 => format!("{:016x}", random.next()),
        _ => format!("{} {} {}.{extension}", word(random), word(random), 1990 + random.below(36)),
    }
}

fn member(random: &mut Random, name: Vec<u8>, kind: Kind, time: i64, offset: u64) -> Member {
    let mut sha256 = [0; 32];
    let regular = kind == Kind::Regular;
    if regular {
        sha256.chunks_mut(8).for_each(|c| c.copy_from_slice(&random.next().to_le_bytes()));
    }
    let size = if regular { 1 << random.below(22) | random.below(4096) } else { 0 };
    let mode = if regular { 0o644 } else { 0o755 };
    Member {
        name,
        kind,
        mode,
        uid: 1000,
        gid: 1000,
        size,
        mtime: time,
        sha256,
        archive: 1,
        offset,
        link: Vec::new(),
        notes: Notes::default(),
    }
}

struct Built {
    sets: Vec<SetId>,
    members: u64,
    /// Time in the writer alone: making names and hashes is not the catalog's work.
    writing: Duration,
}

/// Members of one set, made before the clock runs.
enum Step {
    Enter(Vec<u8>),
    Leave,
    Push(Box<Member>),
}

fn build(catalog: &Catalog, volume: VolumeId, members: u64, sets: u64, dictionary: &[String]) -> Built {
    let mut built = Built { sets: Vec::new(), members: 0, writing: Duration::ZERO };
    for number in 0..sets {
        let mut random = Random(1000 + number);
        let uuid = format!("00000000-0000-4000-8000-{number:012}");
        let set = catalog
            .begin_set(&NewSet {
                uuid,
                job: "home".into(),
                host: "bench".into(),
                roots: vec![b"/home".to_vec()],
                compression: "none".into(),
                recipients: Vec::new(),
                started: 1,
                exclude: Vec::new(),
                one_file_system: false,
                kind: reelward::catalog::SetKind::Full,
                bases: Vec::new(),
            })
            .expect("begin");
        catalog.begin_part(&NewPart { set, number: 1, volume, first_ordinal: 0 }).expect("part");
        let mut writer = catalog.writer(set, 0).expect("writer");
        let mut left = members / sets;
        let (mut archive, mut depth, mut offset, mut part_bytes) = (0u32, 0u64, 0u64, 0u64);
        let mut steps = Vec::new();
        let mut count = 0u64;
        writer.enter(b"home").expect("enter");
        while left > 0 {
            steps.clear();
            while steps.len() < 100_000 && left > 0 {
                // Up by some, down by one.
                let up = random.below(3).min(depth);
                (0..up).for_each(|_| steps.push(Step::Leave));
                depth -= up;
                if depth < 12 {
                    depth += 1;
                } else {
                    steps.push(Step::Leave);
                }
                let word = &dictionary[random.skewed(dictionary.len() as u64) as usize];
                let directory = format!("{word}{:x}", random.below(1 << 20)).into_bytes();
                steps.push(Step::Enter(directory.clone()));
                let time = 1_600_000_000_000_000_000 + (random.below(150_000_000_000_000_000) as i64);
                steps.push(Step::Push(Box::new(member(
                    &mut random,
                    directory,
                    Kind::Directory,
                    time,
                    offset,
                ))));
                left -= 1;
                let style = random.below(6);
                let extension = EXTENSIONS[random.skewed(EXTENSIONS.len() as u64) as usize];
                let files = (1 << random.below(8)).min(left);
                let mut names: Vec<String> = (0..files)
                    .map(|i| {
                        let other = random.below(4) == 0;
                        let other = if other {
                            EXTENSIONS[random.below(EXTENSIONS.len() as u64) as usize]
                        } else {
                            extension
                        };
                        name(&mut random, dictionary, style, i, other)
                    })
                    .collect();
                names.sort();
                names.dedup();
                left -= (names.len() as u64).min(left);
                for name in names {
                    let time = time + random.below(1_000_000_000_000_000) as i64;
                    let row = member(&mut random, name.into_bytes(), Kind::Regular, time, offset);
                    offset += 1024 + row.size.next_multiple_of(512);
                    part_bytes += row.size;
                    steps.push(Step::Push(Box::new(row)));
                }
            }
            let begin = Instant::now();
            for step in &steps {
                match step {
                    Step::Enter(name) => writer.enter(name).expect("enter"),
                    Step::Leave => writer.leave().expect("leave"),
                    Step::Push(member) => {
                        writer.push(member).expect("push");
                        count += 1;
                    }
                }
            }
            if count >= 2_000_000 * u64::from(archive + 1) || left == 0 {
                archive += 1;
                let new = Archive {
                    number: archive,
                    part: 1,
                    file: archive.into(),
                    block: 10,
                    records: 5,
                    stream_bytes: part_bytes,
                    stored_bytes: part_bytes,
                    ..Default::default()
                };
                writer
                    .commit(Checkpoint {
                        archive: &new,
                        fragments: &[],
                        end_block: 20,
                        end_file: 2,
                        change_reference: None,
                        used: 1,
                        written: 1,
                    })
                    .expect("commit");
            }
            built.writing += begin.elapsed();
        }
        drop(writer);
        let end = PartEnd {
            index_file: 100,
            index_block: 1000,
            index_bytes: 1,
            end_block: 1001,
            end_file: 101,
            change_reference: None,
            written: 2_000_000_000,
        };
        catalog.close_part(set, 1, &end).expect("close part");
        catalog.finish_set(set, SetState::Complete, 2_000_000_000).expect("finish set");
        built.members += count;
        built.sets.push(set);
    }
    built
}

fn file_bytes(path: &Path) -> u64 {
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    let one = |p: &Path| fs::metadata(p).map(|m| m.len()).unwrap_or(0);
    one(path) + one(&wal)
}

fn percentiles(mut times: Vec<Duration>) -> (f64, f64, f64) {
    times.sort();
    let at = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99), at(1.0))
}

fn report(what: &str, times: Vec<Duration>, note: &str) {
    let n = times.len();
    let (p50, p99, max) = percentiles(times);
    println!("{what:34} p50 {p50:8.3} ms  p99 {p99:8.3} ms  max {max:8.3} ms  n={n} {note}");
}

fn search(catalog: &Catalog, what: &str, queries: &[FindQuery]) {
    let (mut times, mut totals) = (Vec::new(), Vec::new());
    for query in queries {
        let begin = Instant::now();
        let found = catalog.find(query).expect("find");
        times.push(begin.elapsed());
        totals.push(found.total);
    }
    totals.sort_unstable();
    report(
        what,
        times,
        &format!("matches {}..{}, median {}", totals[0], totals[totals.len() - 1], totals[totals.len() / 2]),
    );
}

fn peak_rss() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn directories(catalog: &Catalog, set: SetId, n: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let members = catalog.set(set).expect("set").members;
    let mut paths = catalog.paths().expect("paths");
    (0..n)
        .map(|_| {
            let at = random.below(members);
            let row =
                catalog.members(set, at..at + 1).expect("members").next().expect("row").expect("member");
            paths.path_of(row.1).expect("path").to_vec()
        })
        .collect()
}

fn argument(name: &str, default: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let value = arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1));
    value.and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() {
    let (members, sets, runs) =
        (argument("--members", 1_000_000), argument("--sets", 10), argument("--runs", 40) as usize);
    let page_size = argument("--page-size", 0);
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("catalog.db");
    let open = |path: &Path| match page_size {
        0 => Catalog::open(path).expect("open"),
        size => Catalog::open_with_page_size(path, size as i64).expect("open"),
    };
    let catalog = open(&path);
    let volume_of = |catalog: &Catalog| {
        let new = NewVolume {
            uuid: "v".into(),
            label: "BENCH".into(),
            barcode: None,
            pool: None,
            generation: None,
            record_size: 262_144,
            capacity: 1 << 44,
            end_block: 1,
            end_file: 1,
            change_reference: None,
            created: 1,
        };
        catalog.add_volume(&new).expect("volume")
    };
    let volume = volume_of(&catalog);
    let dictionary = words(&mut Random(7));
    let built = build(&catalog, volume, members, sets, &dictionary);
    let rate = built.members as f64 / built.writing.as_secs_f64();
    println!(
        "{} members in {sets} sets, {} directories",
        built.members,
        catalog.sets().expect("sets").iter().map(|s| s.directories).sum::<u64>()
    );
    println!("insert {rate:.0} members/s");
    let connection = catalog.readers().expect("reader");
    let pages: u64 = connection
        .query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |r| {
            r.get::<_, i64>(0)
        })
        .expect("pages") as u64;
    println!(
        "catalog {:.1} bytes/member ({pages} bytes; with log {})",
        pages as f64 / built.members as f64,
        file_bytes(&path)
    );
    println!("peak RSS after insert {}", peak_rss());

    let mut random = Random(99);
    let mut word = |low: usize| loop {
        let word = &dictionary[random.below(dictionary.len() as u64) as usize];
        if word.len() >= low {
            break word.clone();
        }
    };
    let many = |n: usize, make: &mut dyn FnMut() -> String| -> Vec<FindQuery> {
        (0..n).map(|_| FindQuery::new(make().as_bytes())).collect()
    };
    search(&catalog, "warm up", &many(3, &mut || "*zzzz*".into()));
    search(&catalog, "*name* (a word, 5 letters and more)", &many(runs, &mut || format!("*{}*", word(5))));
    search(&catalog, "*two_words*", &many(runs, &mut || format!("*{}_{}*", word(4), word(4))));
    search(&catalog, "*name-NNN* (rare)", &many(runs, &mut || format!("*{}-7{}*", word(5), 1)));
    search(
        &catalog,
        "*word* of 3-4 letters",
        &many(runs, &mut || word(3).chars().take(4).collect::<String>())
            .into_iter()
            .map(|mut q| {
                q.pattern = [b"*", q.pattern.as_slice(), b"*"].concat();
                q
            })
            .collect::<Vec<_>>(),
    );
    search(
        &catalog,
        "*ab* (two letters: a full scan)",
        &many(runs.min(10), &mut || format!("*{}*", &word(5)[..2])),
    );
    search(
        &catalog,
        "*.ext",
        &many(runs, &mut {
            let mut i = 0;
            move || {
                i += 1;
                format!("*.{}", EXTENSIONS[i % EXTENSIONS.len()])
            }
        }),
    );
    search(&catalog, "word*", &many(runs, &mut || format!("{}*", word(5))));
    search(&catalog, "exact name", &many(runs, &mut || format!("{}.txt", word(4))));
    search(&catalog, "w?rd*[0-9].jpg", &many(runs, &mut || format!("{}?*[0-9].jpg", word(5))));
    let insensitive: Vec<_> = many(runs, &mut || format!("*{}*", word(5)))
        .into_iter()
        .map(|q| FindQuery { ignore_case: true, ..q })
        .collect();
    search(&catalog, "*name*, case ignored", &insensitive);
    let set = built.sets[0];
    let places = directories(&catalog, set, 200, &mut Random(5));
    search(
        &catalog,
        "/dir/*",
        &places.iter().map(|p| FindQuery::new(&[b"/", p.as_slice(), b"/*"].concat())).collect::<Vec<_>>(),
    );
    search(
        &catalog,
        "/dir/*.ext",
        &places.iter().map(|p| FindQuery::new(&[b"/", p.as_slice(), b"/*.txt"].concat())).collect::<Vec<_>>(),
    );
    search(&catalog, "/home/*", &many(20, &mut || "/home/*".into()));
    search(
        &catalog,
        "*.log, third page",
        &(0..20).map(|_| FindQuery { offset: 200, ..FindQuery::new(b"*.log") }).collect::<Vec<_>>(),
    );

    let mut times = (Vec::new(), Vec::new(), Vec::new());
    for place in &places {
        let begin = Instant::now();
        catalog.browse(Some(set), place, 100, 0).expect("browse");
        times.0.push(begin.elapsed());
        let begin = Instant::now();
        catalog.browse(None, place, 100, 0).expect("browse");
        times.1.push(begin.elapsed());
        let path = [place.as_slice(), b"/none"].concat();
        let begin = Instant::now();
        catalog.lookup(set, &path).expect("lookup");
        times.2.push(begin.elapsed());
    }
    report("browse one set", times.0, "");
    report("browse all sets", times.1, "");
    report("lookup", times.2, "");
    println!("peak RSS after search {}", peak_rss());

    rebuild(&catalog, &built, directory.path(), &open, &volume_of);

    // A reader asks all the time while a set is deleted.
    let reader = catalog.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = stop.clone();
    let place = places[0].clone();
    let thread = std::thread::spawn(move || {
        let mut times = Vec::new();
        while !seen.load(std::sync::atomic::Ordering::Relaxed) {
            let begin = Instant::now();
            reader.browse(Some(set), &place, 100, 0).expect("browse");
            times.push(begin.elapsed());
        }
        times
    });
    let last = *built.sets.last().expect("a set");
    let begin = Instant::now();
    catalog.delete_set(last).expect("delete");
    println!("expire one of {sets} sets {:.3} s", begin.elapsed().as_secs_f64());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    report("browse while it is deleted", thread.join().expect("reader"), "");
}

fn rebuild(
    catalog: &Catalog,
    built: &Built,
    directory: &Path,
    open: &dyn Fn(&Path) -> Catalog,
    volume_of: &dyn Fn(&Catalog) -> VolumeId,
) {
    let (mut bytes, begin) = (0, Instant::now());
    let mut files = Vec::new();
    for set in &built.sets {
        let part = catalog.parts_of(*set).expect("parts")[0];
        let expected = catalog.index_length(&part).expect("length");
        let path = directory.join(format!("index-{set}"));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).expect("create"));
        let written = catalog.write_index(&part, &mut out).expect("write index");
        out.flush().expect("flush");
        assert_eq!(written, expected, "the length of an index is known beforehand");
        bytes += written;
        files.push((*set, part, path));
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "write indexes {:.0} members/s, {:.1} bytes/member",
        built.members as f64 / seconds,
        bytes as f64 / built.members as f64
    );
    let fresh = open(&directory.join("rebuilt.db"));
    let volume = volume_of(&fresh);
    let begin = Instant::now();
    for (set, part, path) in &files {
        let set = catalog.set(*set).expect("set");
        let archives = catalog.archives_of(set.id).expect("archives");
        let archives = archives.iter().map(|archive| archive.describe()).collect();
        let description = SetDescription {
            format: SetDescription::FORMAT.into(),
            version: 1,
            set: set.uuid.clone(),
            part: 1,
            last: true,
            state: PartState::Complete,
            started: "1970-01-01T00:00:00.000000001Z".into(),
            written: "1970-01-01T00:00:02Z".into(),
            first_ordinal: 0,
            members: part.members,
            bytes: part.bytes,
            record_size: 262_144,
            compression: "none".into(),
            recipients: Vec::new(),
            volume: "v".into(),
            previous: None,
            archives,
        };
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).expect("index"));
        fresh
            .load_index(&description, &mut reader, IndexLocation { volume, file: 100, block: 1000 })
            .expect("load");
    }
    println!("rebuild {:.0} members/s", built.members as f64 / begin.elapsed().as_secs_f64());
    println!("peak RSS after rebuild {}", peak_rss());
    if built.members <= 2_000_000 {
        let same = catalog
            .export()
            .expect("export")
            .zip(fresh.export().expect("export"))
            .all(|(a, b)| a.expect("line") == b.expect("line"));
        assert!(same, "the rebuilt catalog differs");
        assert!(fresh.check().expect("check").is_sound(), "the rebuilt catalog is not sound");
        println!("rebuilt catalog identical and sound");
    }
}
