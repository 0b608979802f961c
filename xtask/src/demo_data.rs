//! `cargo xtask demo-data`: makes the demo's sample, or any longer excerpt, from the data the PyPI package carries.
//!
//! `crates/server/demo/changes.py` writes the lines; here they are compressed, without a time or a name in the file, so
//! that the same days give the same bytes.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{python, workspace};

const SCRIPT: &str = "crates/server/demo/changes.py";
const SAMPLE: &str = "crates/server/demo/flights-2013-01-01-week.ndjson.zst";
const SAMPLE_DAYS: u16 = 7;
const YEAR_DAYS: u16 = 365;
/// Slow and small: the sample is made once and carried in the binary.
const COMPRESSION_LEVEL: i32 = 19;

const USAGE: &str = "use: cargo xtask demo-data [--days N | --year] [--out FILE]
  without anything it makes the sample of the demo anew: the first 7 days of 2013
  --days N    the first N days, 1 to 365
  --year      all 365 days: about 1 million changes
  --out FILE  where to; .zst is compressed, anything else is plain lines. Needed with --days and --year";

/// What to make.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    days: u16,
    out: PathBuf,
}

/// Makes the excerpt that the words ask for.
///
/// # Errors
/// When the words are not understood, Python or its package cannot be had, or the file cannot be written.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let wanted = wanted(words)?;
    let python = python::interpreter()?;
    write(&python, &wanted)?;
    println!("{} days of flights are in {}", wanted.days, wanted.out.display());
    Ok(())
}

fn wanted(words: &[&str]) -> Result<Wanted, String> {
    let (mut days, mut out) = (None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--year" => days = Some(YEAR_DAYS),
            "--days" => {
                let given = words.next().and_then(|n| n.parse().ok()).filter(|n| (1..=YEAR_DAYS).contains(n));
                days = Some(given.ok_or(USAGE)?);
            }
            "--out" => out = Some(PathBuf::from(words.next().ok_or(USAGE)?)),
            _ => return Err(USAGE.to_owned()),
        }
    }
    match (days, out) {
        (None, None) => Ok(Wanted { days: SAMPLE_DAYS, out: workspace::root().join(SAMPLE) }),
        (days, Some(out)) => Ok(Wanted { days: days.unwrap_or(SAMPLE_DAYS), out }),
        (Some(_), None) => Err(USAGE.to_owned()),
    }
}

/// Writes beside the target first, so that a failure leaves the old file.
fn write(python: &Path, wanted: &Wanted) -> Result<(), String> {
    let failed = |error: io::Error| format!("{} cannot be written: {error}", wanted.out.display());
    let fresh = wanted.out.with_extension("part");
    let mut script = Command::new(python)
        .arg(workspace::root().join(SCRIPT))
        .args(["--days", &wanted.days.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", python.display()))?;
    let mut lines = script.stdout.take().ok_or("the script has no output")?;
    let mut file = File::create(&fresh).map_err(failed)?;
    if wanted.out.extension().is_some_and(|suffix| suffix == "zst") {
        zstd::stream::copy_encode(&mut lines, &mut file, COMPRESSION_LEVEL).map_err(failed)?;
    } else {
        io::copy(&mut lines, &mut file).map_err(failed)?;
    }
    let status = script.wait().map_err(failed)?;
    if !status.success() {
        let _left = std::fs::remove_file(&fresh);
        return Err(format!("{SCRIPT} failed, see above"));
    }
    std::fs::rename(&fresh, &wanted.out).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_to_make() {
        let sample = workspace::root().join(SAMPLE);
        for (words, expected) in [
            (vec![], Some((7, sample))),
            (vec!["--days", "30", "--out", "x.zst"], Some((30, "x.zst".into()))),
            (vec!["--out", "x.ndjson", "--year"], Some((365, "x.ndjson".into()))),
            (vec!["--out", "x.zst"], Some((7, "x.zst".into()))),
            (vec!["--year"], None),
            (vec!["--days", "0", "--out", "x"], None),
            (vec!["--days"], None),
            (vec!["x"], None),
        ] {
            let made = wanted(&words).ok().map(|wanted| (wanted.days, wanted.out));
            assert_eq!(made, expected, "{words:?}");
        }
    }
}
