//! Words that are always wrong: a small list of what people do mistype, looked for in sources and documents.

use std::{fs, path::Path};

use super::source::find;

/// Written in two halves, so that this file does not break its own rule.
const WRONG: [(&str, &str, &str); 20] = [
    ("acc", "omodate", "accommodate"),
    ("ackno", "wlegde", "acknowledge"),
    ("ambig", "ous", "ambiguous"),
    ("begi", "ning", "beginning"),
    ("compat", "ability", "compatibility"),
    ("concur", "ent", "concurrent"),
    ("consis", "tant", "consistent"),
    ("defin", "ately", "definitely"),
    ("depend", "ancy", "dependency"),
    ("dupli", "acte", "duplicate"),
    ("exist", "ance", "existence"),
    ("neces", "ary", "necessary"),
    ("occ", "ured", "occurred"),
    ("rec", "ieve", "receive"),
    ("refer", "ed ", "referred "),
    ("seg", "emnt", "segment"),
    ("sep", "erate", "separate"),
    ("suc", "cesful", "successful"),
    ("trans", "fered", "transferred"),
    ("unneces", "ary", "unnecessary"),
];

/// Wrong words with where they stand.
pub(crate) fn breaches(root: &Path) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    for extension in ["rs", "md", "toml", "py"] {
        find(root, extension, &mut paths)?;
    }
    let mut breaches = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            for (head, tail, right) in WRONG {
                if line.to_lowercase().contains(&format!("{head}{tail}")) {
                    breaches.push(format!("{}:{}: {head}{tail}: write {right}", path.display(), at + 1));
                }
            }
        }
    }
    Ok(breaches)
}
