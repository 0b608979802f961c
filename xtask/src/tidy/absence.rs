//! Words that only some crates may say: the design stated as absences (architecture.md, Crates).

use super::source::Source;

/// A word and who may say it. Shipped code only: tests may do more.
struct Absence {
    /// Any of these in a line of code is a breach.
    words: &'static [&'static str],
    /// Packages that may.
    except: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

const ABSENCES: [Absence; 6] = [
    Absence {
        words: &["datafusion::", "use datafusion"],
        except: &["tidemark-query", "tidemark-tests", "tidemark-benches", "xtask"],
        instead: "only the query room plans: ask it through its front",
    },
    Absence {
        words: &["env::var(", "env::vars(", "env::var_os(", "env::set_var("],
        except: &["tidemark-server", "tidemark-tests", "tidemark-benches", "xtask"],
        instead: "only the server reads the environment: take a setting",
    },
    Absence {
        words: &["TcpListener", "UdpSocket", "UnixListener", "axum::serve"],
        except: &["tidemark-server", "tidemark-tests", "tidemark-benches", "xtask"],
        instead: "only the server opens ports: give it a router or a service",
    },
    Absence {
        words: &["tracing_subscriber"],
        except: &["tidemark-server", "tidemark-tests", "tidemark-benches", "xtask"],
        instead: "only the server installs the subscriber",
    },
    Absence {
        words: &[
            "_tidemark/",
            "/_manifest",
            "\"_manifest",
            "/_floor",
            "\"_floor",
            "_delta_log",
            "/_idempotency",
            ".parquet\"",
            "deltas/",
            "bases/",
        ],
        except: &["tidemark-storage", "tidemark-tests", "tidemark-benches", "xtask"],
        instead: "only storage spells an object path: add a function to its `paths`",
    },
    Absence {
        words: &["tonic::", "arrow_flight::", "prost::"],
        except: &[
            "tidemark-proto",
            "tidemark-ingest",
            "tidemark-query",
            "tidemark-server",
            "tidemark-tests",
            "tidemark-benches",
            "xtask",
        ],
        instead: "wire types stay at the doors",
    },
];

/// Which absences a file breaks.
pub(crate) fn breaches(source: &Source) -> Vec<String> {
    let held = ABSENCES.iter().filter(|absence| !absence.except.contains(&source.package.as_str()));
    held.flat_map(|absence| said(source, absence)).collect()
}

fn said(source: &Source, absence: &Absence) -> Vec<String> {
    let says = |line: &str| absence.words.iter().find(|word| begins(line, word)).copied();
    let tell = |(at, word)| format!("{}:{at}: says `{word}`: {}", source.path.display(), absence.instead);
    source.shipped().filter_map(|(at, line)| says(line).map(|word| (at, word))).map(tell).collect()
}

/// Whether the word stands in the line and is not the end of a longer one (`Monotonic::`).
fn begins(line: &str, word: &str) -> bool {
    let inside = |at: usize| line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric());
    line.match_indices(word).any(|(at, _)| !word.starts_with(char::is_alphabetic) || !inside(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(package: &str, text: &str) -> usize {
        breaches(&Source { package: package.into(), path: "src/x.rs".into(), text: text.into() }).len()
    }

    #[test]
    fn words_count_in_shipped_code_only() {
        for (package, text, breaches) in [
            ("tidemark-ingest", "//! Without datafusion::.\nuse datafusion::prelude::*;", 1),
            ("tidemark-query", "use datafusion::prelude::*;", 0),
            ("tidemark-ingest", "#[cfg(test)]\nmod tests { use datafusion::x; }", 0),
            ("tidemark-catalog", "let path = format!(\"{ns}/_manifest/{n}\");", 1),
            ("tidemark-server", "std::env::var(\"X\");", 0),
            ("tidemark-cdc", "std::env::var(\"X\");", 1),
            ("tidemark-storage", "clock_gettime(Monotonic::now())", 0),
        ] {
            assert_eq!(found(package, text), breaches, "{package}: {text}");
        }
    }
}
