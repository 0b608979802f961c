//! A register's chain of entries, by LIST: no gap above the floor, nothing without bytes.

use tidemark_storage::{ObjectPath, register::Register};

use super::Looking;
use crate::CatalogError;

impl Looking<'_> {
    /// Looks at the entries of a register.
    pub(super) async fn chain(&mut self, register: &Register, directory: &ObjectPath) -> Result<(), CatalogError> {
        let floor = register.floor().await?;
        let mut numbers = Vec::new();
        for object in self.store.list(directory).await? {
            let name = object.location.filename().unwrap_or_default();
            match name.strip_suffix(".json").and_then(|number| number.parse::<u64>().ok()) {
                Some(number) if object.size == 0 => {
                    self.complain(&object.location, "it has no bytes");
                    numbers.push(number);
                }
                Some(number) => numbers.push(number),
                None => self.complain(&object.location, "it is no entry of a register"),
            }
        }
        for gap in gaps(&numbers, floor) {
            self.complain(directory, gap);
        }
        Ok(())
    }
}

/// The numbers that are missing above the floor, as sentences; `numbers` ascend.
fn gaps(numbers: &[u64], floor: u64) -> Vec<String> {
    let mut next = floor.max(1);
    let mut gaps = Vec::new();
    for number in numbers.iter().filter(|number| **number >= floor) {
        if *number > next {
            gaps.push(format!("entries {next} to {} are missing, {number} is there", number - 1));
        }
        next = number + 1;
    }
    if floor > 0 && next == floor {
        gaps.push(format!("its floor is {floor}, but nothing from there on is there"));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_above_the_floor_are_told() {
        for (numbers, floor, expected) in [
            (&[][..], 0, 0),
            (&[1, 2, 3], 0, 0),
            (&[1, 3], 0, 1),
            (&[2, 3], 0, 1),
            (&[1, 2, 7, 8], 7, 0),
            (&[1, 8], 7, 1),
            (&[1, 2], 7, 1),
        ] {
            assert_eq!(gaps(numbers, floor).len(), expected, "{numbers:?} {floor}");
        }
    }
}
