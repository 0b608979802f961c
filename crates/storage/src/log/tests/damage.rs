//! Damage: what may be cut is cut, everything else refuses the start and names file and offset.

use super::{
    sim::{Faults, SimDisk},
    *,
};
use crate::log::{header::SEGMENT_HEADER_BYTES, segments};

/// A log of some appends that was shut down in order, in as many segments as it takes.
fn filled(appends: u16) -> (SimDisk, Vec<Instant>) {
    let disk = SimDisk::new(Faults::default());
    let bench = Bench::new();
    let times = runtime().block_on(async {
        let log = bench.start(small(), &disk).expect("starts");
        let mut times = Vec::new();
        for n in 0..appends {
            let append = append(&log, batch("nyc", &[(n % 3, 2)], &n.to_string())).await.expect("durable");
            times.push(append.assigned.system_time);
        }
        log.shut_down().await;
        times
    });
    (disk, times)
}

fn times(found: &[Append]) -> Vec<Instant> {
    found.iter().map(|append| append.assigned.system_time).collect()
}

/// Where the groups of the only segment begin, and where the last ends.
fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut borders = vec![SEGMENT_HEADER_BYTES];
    while let Some(length) = bytes.get(borders[borders.len() - 1] + 4..).and_then(|rest| rest.first_chunk::<4>()) {
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            break;
        }
        borders.push(borders[borders.len() - 1] + 32 + length);
    }
    borders
}

#[test]
fn every_flipped_bit_of_a_small_log_is_seen() {
    let (disk, expected) = filled(2);
    let names = disk.segments();
    let [name] = names.as_slice() else { panic!("one segment: {names:?}") };
    let bytes = disk.bytes(name);
    let borders = borders(&bytes);
    let used = borders[borders.len() - 1];
    assert!(used <= 4096, "a small log: {used} bytes");
    // The clocks, two appends and the empty group of a clean end.
    assert_eq!(borders.len(), 5);
    for bit in 0..used * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.put(name, flipped);
        match found(small(), &disk) {
            Err(LogError::Corrupt { offset, .. }) => {
                let group = borders.iter().rev().find(|border| **border <= bit / 8).copied().unwrap_or(0);
                assert_eq!(offset, group as u64, "bit {bit}");
            }
            Ok(found) => {
                assert!(bit / 8 >= borders[3], "bit {bit} of an append was not seen");
                assert_eq!(times(&found), expected);
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn only_an_invalid_tail_is_cut() {
    let (disk, expected) = filled(3);
    let name = disk.segments().remove(0);
    let bytes = disk.bytes(&name);
    let borders = borders(&bytes);
    for cut in borders[3]..borders[4] {
        // A kill in the middle of the last append: the rest of the segment is zeros.
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        // The last bytes of an append may be zeros themselves.
        let whole = if torn[..borders[4]] == bytes[..borders[4]] { 3 } else { 2 };
        disk.put(&name, torn);
        assert_eq!(times(&found(small(), &disk).expect("opens")), expected[..whole], "cut at {cut}");
        assert_eq!(disk.bytes(&name).len(), borders[whole + 1], "the tail is cut off");
        // The same with noise instead of zeros.
        let mut torn = bytes[..cut].to_vec();
        torn.extend((0..300).map(|n| (n * 7 + 1) as u8));
        disk.put(&name, torn);
        assert_eq!(times(&found(small(), &disk).expect("opens")), expected[..2], "noise at {cut}");
    }
    let mut torn = bytes;
    torn[borders[3] + 40..].fill(0);
    disk.put(&name, torn);
    // Going on behind a cut tail gives the place to the next append, and it stays.
    let bench = Bench::new();
    runtime().block_on(async {
        let log = bench.start(small(), &disk).expect("starts");
        let next = append(&log, batch("nyc", &[(2, 1)], "x")).await.expect("durable");
        assert_eq!(next.assigned.positions[0].first, 0, "the third append, of this shard, was torn");
        log.shut_down().await;
    });
    assert_eq!(found(small(), &disk).expect("opens").len(), 3);
}

#[test]
fn a_zeroed_group_in_the_middle_is_no_end() {
    let (disk, _expected) = filled(3);
    let name = disk.segments().remove(0);
    let bytes = disk.bytes(&name);
    let borders = borders(&bytes);
    for (group, flaw) in borders.windows(2).zip(["", "no group begins here"].iter().cycle().skip(1)).take(4) {
        let mut zeroed = bytes.clone();
        zeroed[group[0]..group[1]].fill(0);
        disk.put(&name, zeroed);
        let refused = found(small(), &disk);
        let is_named = |file: &std::path::Path| file.ends_with(&name);
        match refused {
            Err(LogError::Corrupt { file, offset, .. }) if is_named(&file) => assert_eq!(offset, group[0] as u64),
            other => panic!("{flaw}: {other:?}"),
        }
    }
}

#[test]
fn what_a_later_segment_saw_synced_must_be_there() {
    let (disk, expected) = filled(60);
    let names = disk.segments();
    assert!(names.len() >= 4, "several segments: {names:?}");
    assert_eq!(times(&found(small(), &disk).expect("opens")), expected);
    let second = disk.bytes(&names[1]);
    let borders = borders(&second);
    let last = borders[borders.len() - 2];
    // Zeros at the end of a segment that is not the last are no torn tail, nor is noise, nor a shorter file.
    let mut zeroed = second.clone();
    zeroed[last..].fill(0);
    let mut noise = second.clone();
    noise[last + 40] ^= 1;
    for damaged in [zeroed, noise, second[..last].to_vec(), second[..last + 1].to_vec()] {
        disk.put(&names[1], damaged);
        match found(small(), &disk) {
            Err(LogError::Corrupt { file, offset, .. }) => {
                assert_eq!((file.ends_with(&names[1]), offset), (true, last as u64));
            }
            other => panic!("{other:?}"),
        }
    }
    disk.put(&names[1], second);
    assert_eq!(times(&found(small(), &disk).expect("opens")), expected);
}

#[test]
fn missing_swapped_and_renumbered_segments_are_refused() {
    let (disk, _expected) = filled(60);
    let names = disk.segments();
    let originals: Vec<Vec<u8>> = names.iter().map(|name| disk.bytes(name)).collect();
    let missing = |error: &LogError| matches!(error, LogError::Corrupt { file, .. } if file.ends_with(&names[1]));
    disk.forget(&names[1]);
    assert!(found(small(), &disk).is_err_and(|error| missing(&error)), "a segment between two is missing");
    disk.put(&names[1], originals[2].clone());
    assert!(found(small(), &disk).is_err_and(|error| missing(&error)), "another one's bytes stand in its place");
    disk.put(&names[1], Vec::new());
    assert!(found(small(), &disk).is_err_and(|error| missing(&error)), "it is empty");
    let (other, _times) = filled(61);
    let mut foreign = other.bytes(&names[1]);
    foreign[16] ^= 1;
    disk.put(&names[1], foreign);
    assert!(found(small(), &disk).is_err_and(|error| missing(&error)), "its header is damaged");
}

#[test]
fn what_a_preparation_left_is_removed() {
    let (disk, expected) = filled(3);
    disk.put(&segments::prepared_name(2), vec![1; 100]);
    assert_eq!(times(&found(small(), &disk).expect("opens")), expected);
    assert!(!disk.list().expect("lists").iter().any(|name| segments::is_prepared(name)));
}
