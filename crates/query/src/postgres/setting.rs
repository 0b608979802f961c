//! Settings that clients of PostgreSQL send and ask, for one connection.
//!
//! What changes answers here is honoured (`search_path`, `statement_timeout`); what would change how values are spelled
//! keeps its one value, and a client that asks for another is told so; what means nothing here is kept and shown.

use std::{collections::BTreeMap, time::Duration};

use super::fault::Fault;
use crate::plan::postgres::settings::SETTINGS;

/// How a setting takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Any; it changes nothing but what is shown.
    Any,
    /// Any of these words; the value stays as it is.
    These(&'static [&'static str]),
    /// The value stays, with a warning that says what is done.
    Stays(&'static str),
    /// None.
    Nothing,
}

/// A setting that there is.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its name, as shown.
    pub(crate) name: &'static str,
    /// Its value at first.
    pub(crate) value: &'static str,
}

impl Known {
    fn takes(&self) -> Takes {
        match self.name {
            "bytea_output" => Takes::These(&["hex"]),
            "client_encoding" => Takes::These(&["utf8", "utf-8", "unicode"]),
            "datestyle" => Takes::These(&["iso"]),
            "intervalstyle" => Takes::These(&["postgres"]),
            "standard_conforming_strings" => Takes::These(&["on", "true", "1"]),
            "timezone" => Takes::Stays("times are told in UTC; convert them where they are shown"),
            "in_hot_standby"
            | "integer_datetimes"
            | "is_superuser"
            | "lc_collate"
            | "lc_ctype"
            | "max_identifier_length"
            | "max_index_keys"
            | "server_encoding"
            | "server_version"
            | "server_version_num"
            | "session_authorization" => Takes::Nothing,
            _ => Takes::Any,
        }
    }
}

/// Every setting, by name.
pub(crate) fn all() -> impl Iterator<Item = Known> {
    SETTINGS.iter().map(|(name, value)| Known { name, value })
}

/// Those that a client is told when it comes in and when they change, as their names are spelled there.
const TOLD: [&str; 13] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// Most bytes of a value.
const VALUE_BYTES_MAX: usize = 1_024;

/// The settings of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What differs from the first value.
    changed: BTreeMap<&'static str, String>,
}

/// Looks a setting up; `TIME ZONE` and its like are names as well.
pub(crate) fn find(name: &str) -> Option<Known> {
    let name = match name.to_ascii_lowercase().as_str() {
        "time zone" => "timezone".to_owned(),
        "names" => "client_encoding".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        other => other.to_owned(),
    };
    all().find(|known| known.name == name)
}

/// A setting that there is not.
pub(crate) fn unknown(name: &str) -> Fault {
    let name: String = name.chars().take(63).collect();
    Fault::error("42704", format!("unrecognized configuration parameter \"{name}\""))
        .hinting("SHOW ALL lists the settings that there are; the lake's own begin with tidemark.")
}

impl Settings {
    /// The value of a setting.
    pub(crate) fn get(&self, of: &Known) -> &str {
        self.changed.get(of.name).map_or(of.value, String::as_str)
    }

    /// The value of one that is not at its first value.
    pub(crate) fn changed(&self, of: &Known) -> Option<&str> {
        self.changed.get(of.name).map(String::as_str)
    }

    /// Sets one; `None` is its first value. A warning comes back where the value stays another.
    ///
    /// # Errors
    /// For a setting that cannot be set, or not so.
    pub(crate) fn set(&mut self, of: &Known, value: Option<&str>) -> Result<Option<Fault>, Fault> {
        let Some(value) = value else {
            self.changed.remove(of.name);
            return Ok(None);
        };
        let refused = |why: &str| {
            let value: String = value.chars().take(63).collect();
            Fault::error("22023", format!("invalid value for parameter \"{}\": \"{value}\"", of.name)).hinting(why)
        };
        match of.takes() {
            _ if value.len() > VALUE_BYTES_MAX => return Err(refused("it is too long")),
            Takes::Nothing => {
                return Err(Fault::error("55P02", format!("parameter \"{}\" cannot be changed", of.name)));
            }
            Takes::Stays(why) => {
                let is_same = ["utc", "gmt", "etc/utc", "z"].contains(&value.to_ascii_lowercase().as_str());
                return Ok(
                    (!is_same).then(|| Fault::warning("01000", format!("{} stays {}: {why}", of.name, of.value)))
                );
            }
            Takes::These(words) => {
                let value = value.to_ascii_lowercase();
                let first = value.split([',', ' ']).next().unwrap_or_default();
                if !words.contains(&value.as_str()) && !words.contains(&first) {
                    return Err(refused(&format!("it is served as {} only", of.value)));
                }
            }
            Takes::Any => {
                if of.name == "statement_timeout" && duration(value).is_none() {
                    return Err(refused("give milliseconds, or a number with ms, s, min or h"));
                }
                self.changed.insert(of.name, value.to_owned());
            }
        }
        Ok(None)
    }

    /// How long a statement may run; none is as long as the room lets it.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let text = self.changed.get("statement_timeout")?;
        duration(text).filter(|limit| !limit.is_zero())
    }

    /// Every setting that a client is told, with its value.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        TOLD.into_iter().filter_map(|name| {
            let known = find(name)?;
            Some((name, self.changed.get(known.name).map_or(known.value, String::as_str)))
        })
    }
}

/// `500`, `500ms`, `30s`, `5min`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let millis = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(digits.parse::<u64>().ok()?.checked_mul(millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_kept_or_refused() {
        for (name, value, outcome) in [
            ("application_name", "psql", Ok("psql")),
            ("CLIENT_ENCODING", "Unicode", Ok("UTF8")),
            ("client_encoding", "LATIN1", Err("22023")),
            ("DateStyle", "ISO, DMY", Ok("ISO, MDY")),
            ("DateStyle", "German", Err("22023")),
            ("time zone", "Europe/Berlin", Ok("UTC")),
            ("statement_timeout", "5min", Ok("5min")),
            ("statement_timeout", "soon", Err("22023")),
            ("server_version", "9.6", Err("55P02")),
            ("bytea_output", "escape", Err("22023")),
        ] {
            let known = find(name).unwrap();
            let mut settings = Settings::default();
            let set = settings.set(&known, Some(value)).map(|_warning| settings.get(&known).to_owned());
            let set = set.as_deref().map_err(|fault| fault.code);
            assert_eq!(set, outcome, "{name} = {value}");
        }
        assert!(find("datafusion.execution.batch_size").is_none());
    }

    #[test]
    fn another_zone_is_answered_with_a_warning_and_a_reset_with_the_first_value() {
        let (mut settings, zone, name) =
            (Settings::default(), find("TimeZone").unwrap(), find("application_name").unwrap());
        assert!(settings.set(&zone, Some("Asia/Tokyo")).unwrap().is_some());
        assert_eq!(settings.set(&zone, Some("Etc/UTC")).unwrap(), None);
        settings.set(&name, Some("x")).unwrap();
        settings.set(&name, None).unwrap();
        assert_eq!(settings, Settings::default());
        settings.set(&find("statement_timeout").unwrap(), Some("30s")).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(30)));
        assert_eq!(settings.told().count(), TOLD.len());
    }
}
