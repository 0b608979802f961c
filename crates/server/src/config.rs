//! Settings: the only place that reads the environment.
//!
//! Three layers are laid over each other, later ones win: `tidemark.toml`, the environment, flags. Each layer is a
//! TOML table; after each the whole is read into [`Settings`], so that an unknown key or a wrong type is blamed on the
//! layer it came with. Secrets may be given as `file:/path`; they are read here and never shown again.
//!
//! 1. `settings`: what can be set, with units and defaults.
//! 2. `environment`: variables and the keys they stand for.
//! 3. `listen`: an address, or none. 4. `log_place`: where the log lies. 5. `secret`: values that are not printed.
//! 6. `change`: what differs between two readings, and what of it a running server takes up. 7. `traces`: where spans go.

mod change;
mod environment;
mod listen;
mod log_place;
mod secret;
mod settings;
mod traces;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

pub use change::{Change, changes};
pub use environment::Environment;
pub use listen::Listen;
pub use log_place::LogPlace;
pub use secret::Secret;
pub use settings::{Auth, Connections, Lease, Limits, LogFormat, Logs, ObjectLog, Settings, Stop, StoreCheck, Tls};
pub use traces::Traces;

/// The name of the settings file.
const FILE_NAME: &str = "tidemark.toml";
/// The largest settings file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("settings file {file} cannot be read: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A layer has an unknown key or a value of another type.
    #[error("settings from {layer} are not valid: {reason}")]
    Layer {
        /// The file, `the environment` or `the command line`.
        layer: String,
        /// What is wrong and where.
        reason: String,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Together(String),
    /// A secret that names a file that cannot be read, or that is empty.
    #[error("secret {key} cannot be used: {reason}")]
    Secret {
        /// Its key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// One layer of settings: a table and where it came from.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// `tidemark.toml`, `the environment`, `the command line`.
    pub name: String,
    /// The keys it sets.
    pub table: Table,
}

impl Layer {
    /// An empty layer.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), table: Table::new() }
    }

    /// Sets a key given as a dotted path.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        set(&mut self.table, key, value.into());
    }
}

/// Where settings are read from: they can be read again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file, if flags name one.
    pub file: Option<PathBuf>,
    /// The environment, as the process was started with it.
    pub environment: Environment,
    /// The flags.
    pub flags: Layer,
}

impl Source {
    /// Reads them.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(self.file.as_deref(), &self.environment, self.flags.clone())
    }
}

/// Settings that were read, and which layer set what.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Dotted key to the name of the layer that set it; keys at their default are absent.
    pub origins: BTreeMap<String, String>,
}

/// Reads settings: the file named by `flags` or the environment or found, then the environment, then flags.
///
/// # Errors
/// [`ConfigError`], which names the layer and the key.
pub fn load(file: Option<&Path>, environment: &Environment, flags: Layer) -> Result<Loaded, ConfigError> {
    let variables = environment.layer();
    let named = file.map(Path::to_path_buf).or_else(|| environment.get("TIDEMARK_CONFIG").map(PathBuf::from));
    let data = [&flags, &variables].into_iter().find_map(|layer| layer.table.get("data")?.as_str().map(PathBuf::from));
    let mut layers = Vec::new();
    match named {
        Some(path) => layers.push(file_layer(&path)?),
        None => {
            let candidates = [data.unwrap_or_else(|| Settings::default().data).join(FILE_NAME), FILE_NAME.into()];
            layers.extend(candidates.iter().find(|path| path.is_file()).map(|path| file_layer(path)).transpose()?);
        }
    }
    layers.extend([variables, flags]);
    merge(layers)
}

/// Lays the layers over each other, reading the whole after each.
fn merge(layers: Vec<Layer>) -> Result<Loaded, ConfigError> {
    let (mut whole, mut origins, mut settings) = (Table::new(), BTreeMap::new(), Settings::default());
    for layer in layers {
        overlay(&mut whole, &layer, "", &mut origins);
        settings = Value::Table(whole.clone()).try_into().map_err(|e: toml::de::Error| ConfigError::Layer {
            layer: layer.name,
            reason: e.to_string().trim().into(),
        })?;
    }
    settings.read_secrets()?;
    settings.check_together()?;
    Ok(Loaded { settings, origins })
}

fn file_layer(path: &Path) -> Result<Layer, ConfigError> {
    let failed = |source| ConfigError::File { file: path.to_path_buf(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"))));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let name = path.display().to_string();
    let refused = |e: toml::de::Error| ConfigError::Layer { layer: name.clone(), reason: reason(&e, &text) };
    // Read by itself first: only from the text the message can say the line.
    toml::from_str::<Settings>(&text).map_err(refused)?;
    Ok(Layer { table: toml::from_str(&text).map_err(refused)?, name })
}

/// What is wrong and in which line. The line itself is not shown: it may hold a secret, and this goes into logs and answers.
fn reason(error: &toml::de::Error, text: &str) -> String {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let place = error.span().map(|span| format!("TOML line {}: ", line(span.start)));
    format!("{}{}", place.unwrap_or_default(), error.message())
}

fn overlay(whole: &mut Table, layer: &Layer, prefix: &str, origins: &mut BTreeMap<String, String>) {
    fn walk(whole: &mut Table, table: &Table, path: (&str, &str), origins: &mut BTreeMap<String, String>) {
        let (layer, prefix) = path;
        for (key, value) in table {
            let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match (whole.get_mut(key), value) {
                (Some(Value::Table(below)), Value::Table(above)) => walk(below, above, (layer, &dotted), origins),
                (None, Value::Table(above)) => {
                    let mut below = Table::new();
                    walk(&mut below, above, (layer, &dotted), origins);
                    whole.insert(key.clone(), Value::Table(below));
                }
                _ => {
                    whole.insert(key.clone(), value.clone());
                    origins.insert(dotted, layer.to_owned());
                }
            }
        }
    }
    walk(whole, &layer.table, (&layer.name, prefix), origins);
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((head, rest)) => {
            let below = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                set(below, rest, value);
            }
        }
    }
}

impl Loaded {
    /// The settings as a `tidemark.toml`, secrets masked, each line that is not a default with where it came from.
    #[must_use]
    pub fn print(&self) -> String {
        let Ok(Value::Table(table)) = Value::try_from(&self.settings) else { return String::new() };
        let mut out = String::new();
        self.print_table(&table, "", &mut out);
        out
    }

    fn print_table(&self, table: &Table, prefix: &str, out: &mut String) {
        let dotted = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            let origin = self.origins.get(&dotted(key)).map(|layer| format!("  # {layer}")).unwrap_or_default();
            let _infallible = writeln!(out, "{key} = {value}{origin}");
        }
        for (key, value) in table {
            if let Value::Table(below) = value {
                let _infallible = writeln!(out, "\n[{}]", dotted(key));
                self.print_table(below, &dotted(key), out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
