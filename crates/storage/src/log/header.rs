//! The header of a segment file: which lake, which log, which number. This file is its persisted format.
//!
//! 256 bytes, little-endian: `"TMLOG\0\0\0" | version u32 | number u32 | log id u128 | cluster u8+text | zeros | crc32c u32`
//! over all before it. A segment gets its name only when its header is synced, so a named segment without one is damaged.
//! The length, the magic, the version and the checksum stand there in every version.

use super::error::Unread;

/// Bytes of the header; the first group follows.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 256;

const MAGIC: [u8; 8] = *b"TMLOG\0\0\0";
const VERSION: u32 = 1;
const CLUSTER_AT: usize = 32;
const CRC_AT: usize = SEGMENT_HEADER_BYTES - 4;
/// The longest cluster id.
pub(crate) const CLUSTER_BYTES_MAX: usize = CRC_AT - CLUSTER_AT - 1;

/// Who a segment belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Its number in the log, from 1.
    pub(crate) number: u32,
    /// The log.
    pub(crate) log: u128,
    /// The lake; at most [`CLUSTER_BYTES_MAX`] bytes.
    pub(crate) cluster: String,
}

impl SegmentHeader {
    /// The bytes at the beginning of the file.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let cluster = self.cluster.as_bytes();
        let cluster = &cluster[..cluster.len().min(CLUSTER_BYTES_MAX)];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log.to_le_bytes());
        bytes[CLUSTER_AT] = u8::try_from(cluster.len()).unwrap_or(u8::MAX);
        bytes[CLUSTER_AT + 1..][..cluster.len()].copy_from_slice(cluster);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the beginning of a file, or says why it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unread> {
        let (header, _groups) =
            bytes.split_first_chunk::<SEGMENT_HEADER_BYTES>().ok_or("the segment is shorter than its header")?;
        if header[0..8] != MAGIC {
            return Err("the segment does not begin as one".into());
        }
        let (covered, crc) = header.split_at(CRC_AT);
        if crc != crc32c::crc32c(covered).to_le_bytes() {
            return Err("the segment's header does not match its checksum".into());
        }
        let mut version = [0; 4];
        version.copy_from_slice(&header[8..12]);
        let version = u32::from_le_bytes(version);
        if version != VERSION {
            return Err(Unread::Newer(version));
        }
        let cluster = header[CLUSTER_AT + 1..].get(..usize::from(header[CLUSTER_AT]));
        let cluster = cluster.and_then(|text| std::str::from_utf8(text).ok());
        let mut number = [0; 4];
        number.copy_from_slice(&header[12..16]);
        let mut log = [0; 16];
        log.copy_from_slice(&header[16..32]);
        Ok(Self {
            number: u32::from_le_bytes(number),
            log: u128::from_le_bytes(log),
            cluster: cluster.ok_or("the segment's header names no cluster")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned_and_every_flipped_bit_is_seen() {
        let header = SegmentHeader { number: 9, log: 0x0102, cluster: "lake".into() };
        let bytes = header.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex[..80], *PINNED_START);
        assert_eq!(hex[hex.len() - 8..], *PINNED_CRC);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = SegmentHeader { number: 9, log: 0x0102, cluster: "lake".into() }.encode();
        bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
        assert!(matches!(SegmentHeader::decode(&bytes), Err(Unread::Corrupt(_))), "the checksum is the old one's");
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(Unread::Newer(7)));
    }

    const PINNED_START: &str = "544d4c4f47000000010000000900000002010000000000000000000000000000046c616b65000000";
    const PINNED_CRC: &str = "06410459";
}
