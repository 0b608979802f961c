//! What is asked of a store: the names are told to people and to programs, so they stay.

/// One thing that a store does or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Puts and whole reads.
    PutGet,
    /// Reads of parts.
    Ranges,
    /// What is not there.
    Absent,
    /// Lists.
    List,
    /// Deletion.
    Delete,
    /// Objects in parts.
    Upload,
    /// A create of a name that is free.
    Create,
    /// A create of a name that is taken.
    CreateExisting,
    /// Creates of one name at once.
    CreateRace,
    /// What one sees who looked before it was there.
    ReadAfterWrite,
    /// What one sees of an object that was put anew.
    ReadAfterOverwrite,
    /// What a list shows at once.
    ListAfterWrite,
    /// What a deletion leaves at once.
    GoneAfterDelete,
}

impl Question {
    /// All of them, in the order they are asked: each may use what those before it established.
    pub const ALL: [Self; 13] = [
        Self::PutGet,
        Self::Ranges,
        Self::Absent,
        Self::List,
        Self::Delete,
        Self::Upload,
        Self::Create,
        Self::CreateExisting,
        Self::CreateRace,
        Self::ReadAfterWrite,
        Self::ReadAfterOverwrite,
        Self::ListAfterWrite,
        Self::GoneAfterDelete,
    ];

    /// Those whose answer is what a lying store lies about.
    pub(super) const QUICK: [Self; 2] = [Self::CreateExisting, Self::CreateRace];

    /// Its name, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutGet => "put_get",
            Self::Ranges => "ranges",
            Self::Absent => "absent",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Upload => "upload",
            Self::Create => "create",
            Self::CreateExisting => "create_existing",
            Self::CreateRace => "create_race",
            Self::ReadAfterWrite => "read_after_write",
            Self::ReadAfterOverwrite => "read_after_overwrite",
            Self::ListAfterWrite => "list_after_write",
            Self::GoneAfterDelete => "gone_after_delete",
        }
    }

    /// What the store is to do, in a sentence.
    #[must_use]
    pub const fn asked(self) -> &'static str {
        match self {
            Self::PutGet => "an object that was put is read back whole, with its size",
            Self::Ranges => "its beginning, its middle and its end are read by themselves",
            Self::Absent => "what is not there is told as such, and deleting it is no error",
            Self::List => "a list shows all that is below its prefix, and nothing besides",
            Self::Delete => "what was deleted goes",
            Self::Upload => "an object in parts is there once it is ended, whole, and not before",
            Self::Create => "a create of a free name succeeds",
            Self::CreateExisting => "a create of a name that is taken is refused, and the object stays as it was",
            Self::CreateRace => "of many who create one name at once one succeeds, and its object stays",
            Self::ReadAfterWrite => "who found nothing sees at once what is created then",
            Self::ReadAfterOverwrite => "an object that is put anew is seen anew at once",
            Self::ListAfterWrite => "a list shows at once what was written",
            Self::GoneAfterDelete => "what was deleted is gone at once, for reads and lists",
        }
    }

    /// Whether a lake rests on it. The rest costs time or comfort where it does not hold: no step looks for its truth in a
    /// list, deletes for safety, or puts over what somebody reads (storage.md, principles 1 and 2).
    #[must_use]
    pub const fn is_required(self) -> bool {
        !matches!(self, Self::ReadAfterOverwrite | Self::ListAfterWrite | Self::GoneAfterDelete)
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
