//! The Flight SQL door.
