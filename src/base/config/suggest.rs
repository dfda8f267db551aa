//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that is at most a third of its letters away from what was written.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let written = written.to_lowercase().replace('-', "_");
    // Nobody misspells a word this long, and the distance costs the product of both lengths.
    if written.len() > 64 {
        return None;
    }
    let scored = candidates.into_iter().map(|word| (distance(&written, &word.to_lowercase().replace('-', "_")), word));
    let (best, word) = scored.min_by_key(|(distance, _)| *distance)?;
    (best <= word.len().div_ceil(3)).then(|| word.to_owned())
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let words = ["address", "role", "certificate"];
        for (written, meant) in [("adress", "address"), ("Addres", "address"), ("roel", "role"), ("certifcate", "certificate")] {
            assert_eq!(nearest(written, words).as_deref(), Some(meant), "{written}");
        }
    }

    #[test]
    fn another_word_is_not_a_slip() {
        assert_eq!(nearest("colour", ["address", "role"]), None);
        assert_eq!(nearest("role", []), None);
    }
}
