//! A group: the unit that is written and synced together. This file is its persisted format.
//!
//! Little-endian: `magic u32 | length u32 | header_crc u32 | synced_up_to u64 | epoch u64 | payload_crc u32 | payload`.
//! Both crcs are crc32c, seeded with (log id, segment, offset): a group verifies alone, and one that was misplaced or
//! recycled from an older file never does. `synced_up_to` is the place below which everything was synced before this
//! group was written: whatever does not verify below it was damaged later and is no torn tail.

use std::fmt;

/// Begins every group: `TMg1`.
pub(crate) const MAGIC: [u8; 4] = *b"TMg1";
/// Bytes in front of the payload.
pub(crate) const HEADER_BYTES: usize = 32;
/// Version of the payload, its first byte.
pub(crate) const PAYLOAD_VERSION: u8 = 1;

/// A place in a log: in which segment, and how many bytes from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Number of the segment, from 1.
    pub(crate) segment: u32,
    /// Bytes from the beginning of the segment.
    pub(crate) offset: u32,
}

impl Place {
    fn packed(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.offset)
    }

    fn unpacked(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { segment: u32::from_le_bytes([e, f, g, h]), offset: u32::from_le_bytes([a, b, c, d]) }
    }
}

/// A group while it is filled; the buffer is used again and again.
#[derive(Debug)]
pub(crate) struct GroupBuffer(Vec<u8>);

/// What the header of a group tells besides its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The log the group belongs to.
    pub(crate) log: u128,
    /// Epoch of the owner that wrote it.
    pub(crate) epoch: u64,
    /// Everything below was synced before.
    pub(crate) synced_up_to: Place,
}

impl GroupBuffer {
    /// An empty group.
    pub(crate) fn new() -> Self {
        let mut group = Self(Vec::new());
        group.clear();
        group
    }

    /// Begins anew; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
        self.0.resize(HEADER_BYTES, 0);
        self.0.push(PAYLOAD_VERSION);
    }

    /// Where records are put.
    pub(crate) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Bytes on the medium.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes the header; the bytes belong at `place` of the stamp's log and nowhere else.
    pub(crate) fn seal(&mut self, stamp: Stamp, place: Place) -> &[u8] {
        let seed = seed(stamp.log, place);
        let (header, payload) = self.0.split_at_mut(HEADER_BYTES);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        header[0..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[12..20].copy_from_slice(&stamp.synced_up_to.packed().to_le_bytes());
        header[20..28].copy_from_slice(&stamp.epoch.to_le_bytes());
        header[28..32].copy_from_slice(&crc32c::crc32c_append(seed, payload).to_le_bytes());
        let crc = header_crc(seed, header);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        &self.0
    }
}

/// A header that was read and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Epoch of the owner that wrote it.
    pub(crate) epoch: u64,
    /// Everything below was synced before it was written.
    pub(crate) synced_up_to: Place,
    length: usize,
    payload_crc: u32,
}

/// A group that was read and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    /// What its header says.
    pub(crate) header: Header,
    /// Version and records.
    pub(crate) payload: &'a [u8],
}

impl Group<'_> {
    /// Bytes on the medium.
    pub(crate) fn len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
}

/// Why bytes are no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Fewer bytes than the header, or than the header says.
    Short,
    /// Does not begin as a group does.
    Magic,
    /// The header does not fit its checksum.
    Header,
    /// The payload does not fit its checksum.
    Payload,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the group is cut short",
            Self::Magic => "no group begins here",
            Self::Header => "the group's header does not match its checksum",
            Self::Payload => "the group's payload does not match its checksum",
        })
    }
}

/// Reads the header of the group that begins with `bytes`, whether or not its payload is whole.
pub(crate) fn read_header(bytes: &[u8], log: u128, place: Place) -> Result<Header, Flaw> {
    let header = bytes.get(..HEADER_BYTES).ok_or(Flaw::Short)?;
    if header[0..4] != MAGIC {
        return Err(Flaw::Magic);
    }
    if number(&header[8..12]) != header_crc(seed(log, place), header) {
        return Err(Flaw::Header);
    }
    Ok(Header {
        epoch: u64::from_le_bytes(eight(&header[20..28])),
        synced_up_to: Place::unpacked(eight(&header[12..20])),
        length: usize::try_from(number(&header[4..8])).map_err(|_narrow| Flaw::Short)?,
        payload_crc: number(&header[28..32]),
    })
}

/// Reads the group that begins with `bytes` (whatever follows it is ignored) at its place in its log.
pub(crate) fn read(bytes: &[u8], log: u128, place: Place) -> Result<Group<'_>, Flaw> {
    let header = read_header(bytes, log, place)?;
    let payload = bytes[HEADER_BYTES..].get(..header.length).ok_or(Flaw::Short)?;
    if header.payload_crc != crc32c::crc32c_append(seed(log, place), payload) {
        return Err(Flaw::Payload);
    }
    Ok(Group { header, payload })
}

fn seed(log: u128, place: Place) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&log.to_le_bytes()), &place.packed().to_le_bytes())
}

/// Over everything in the header but the checksum itself.
fn header_crc(seed: u32, header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &header[..8]), &header[12..])
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte))
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(bytes);
    eight
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: u128 = 0x0102_0304_0506_0708_090A_0B0C_0D0E_0F10;
    const PLACE: Place = Place { segment: 3, offset: 256 };
    const STAMP: Stamp = Stamp { log: LOG, epoch: 7, synced_up_to: Place { segment: 3, offset: 256 } };

    fn sealed() -> Vec<u8> {
        let mut group = GroupBuffer::new();
        group.payload().extend_from_slice(b"records");
        group.seal(STAMP, PLACE).to_vec()
    }

    #[test]
    fn bytes_are_pinned() {
        let hex: String = sealed().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, PINNED);
    }

    #[test]
    fn a_group_reads_back_at_its_place_and_nowhere_else() {
        let bytes = sealed();
        let group = read(&bytes, LOG, PLACE).expect("verifies");
        assert_eq!((group.header.epoch, group.header.synced_up_to), (7, PLACE));
        assert_eq!((group.payload, group.len()), (&b"\x01records"[..], bytes.len()));
        for (log, place) in [
            (LOG + 1, PLACE),
            (LOG, Place { segment: 4, ..PLACE }),
            (LOG, Place { offset: 257, ..PLACE }),
            (LOG, Place { segment: 256, offset: 3 }),
        ] {
            assert_eq!(read(&bytes, log, place), Err(Flaw::Header));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = sealed();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, LOG, PLACE).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut], LOG, PLACE), Err(Flaw::Short), "cut {cut}");
        }
    }

    const PINNED: &str = "544d673108000000f56f9cc10001000003000000070000000000000037662a92017265636f726473";
}
