//! Filter patterns: `%` is any text, `_` any one character, `\` takes the meaning of the next one away.

/// Whether a text matches a pattern. Case counts.
pub(crate) fn matches(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<Step>) = (text.chars().collect(), steps(pattern));
    let (mut t, mut p) = (0, 0);
    // Where the last `%` stands and how much it has taken: on a mismatch it takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Step::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Step::One) => (t, p) = (t + 1, p + 1),
            Some(Step::This(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match retry {
                Some((at, taken)) => {
                    retry = Some((at, taken + 1));
                    (t, p) = (taken + 1, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|step| matches!(step, Step::Any))
}

enum Step {
    Any,
    One,
    This(char),
}

fn steps(pattern: &str) -> Vec<Step> {
    let mut chars = pattern.chars();
    let mut steps = Vec::new();
    while let Some(c) = chars.next() {
        steps.push(match c {
            '%' => Step::Any,
            '_' => Step::One,
            '\\' => Step::This(chars.next().unwrap_or('\\')),
            other => Step::This(other),
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        for (text, pattern, expected) in [
            ("flights", "flights", true),
            ("flights", "Flights", false),
            ("flights", "f%", true),
            ("flights", "%", true),
            ("", "%", true),
            ("", "", true),
            ("x", "", false),
            ("flights", "%g_ts", true),
            ("flights", "f%h%s", true),
            ("flights", "f%x%s", false),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("axb", "a_b", true),
            ("50%", "50\\%", true),
            ("ünï", "_n_", true),
            ("a\\", "a\\", true),
            ("flights", "select 1", false),
            (&"a".repeat(2000), &"%a".repeat(500), true),
            (&"a".repeat(2000), &format!("{}b", "%a".repeat(500)), false),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text} {pattern}");
        }
    }
}
