//! Path patterns, and which of them a path is one of.
//!
//! A pattern is made of segments: `time` is itself, `{id}` is any one segment, and `{href…}` at the end is whatever
//! follows, one segment or more. Where several patterns fit, the one that names more from the left wins: a word before
//! `{id}`, and that before `{href…}`. Paths are the peer's and are walked over in place; how deep the search goes is the
//! patterns' affair alone.

use std::collections::HashMap;

/// Things by the patterns of their paths.
#[derive(Clone, Debug)]
pub(crate) struct Tree<T> {
    root: Node<T>,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// What stands at the pattern that ends here.
    here: Option<T>,
    words: HashMap<&'static str, Node<T>>,
    any: Option<Box<Node<T>>>,
    rest: Option<T>,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Word(&'static str),
    Any,
    Rest,
}

/// Where the named segments of a pattern are: name, index of the segment, and whether it goes on to the end.
pub(crate) type Names = Vec<(&'static str, usize, bool)>;

impl<T> Tree<T> {
    pub(crate) fn new() -> Self {
        Self { root: Node::new() }
    }

    /// What stands at this pattern. It is made if nothing does.
    pub(crate) fn entry(&mut self, pattern: &'static str, make: impl FnOnce() -> T) -> &mut T {
        let mut node = &mut self.root;
        for segment in segments(pattern) {
            match segment {
                Segment::Word(word) => node = node.words.entry(word).or_insert_with(Node::new),
                Segment::Any => node = node.any.get_or_insert_with(|| Box::new(Node::new())),
                Segment::Rest => return node.rest.get_or_insert_with(make),
            }
        }
        node.here.get_or_insert_with(make)
    }

    /// What stands at the pattern that fits the path best.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&T> {
        self.root.find(path)
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self { here: None, words: HashMap::new(), any: None, rest: None }
    }

    fn find(&self, path: &[&str]) -> Option<&T> {
        let Some((first, others)) = path.split_first() else { return self.here.as_ref() };
        let word = self.words.get(*first).and_then(|node| node.find(others));
        word.or_else(|| self.any.as_ref()?.find(others)).or(self.rest.as_ref())
    }
}

/// The named segments of a pattern.
pub(crate) fn names(pattern: &'static str) -> Names {
    let named = |(index, text): (usize, &'static str)| {
        let name = text.strip_prefix('{')?.strip_suffix('}')?;
        Some((name.trim_end_matches('…'), index, name.ends_with('…')))
    };
    split(pattern).enumerate().filter_map(named).collect()
}

fn segments(pattern: &'static str) -> impl Iterator<Item = Segment> {
    split(pattern).map(|text| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) if name.ends_with('…') => Segment::Rest,
        Some(_) => Segment::Any,
        None => Segment::Word(text),
    })
}

fn split(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    let inner = pattern.strip_prefix('/').unwrap_or(pattern);
    // The root is no segment, and not one that is empty.
    inner.split('/').filter(move |_| !inner.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[&'static str]) -> Tree<&'static str> {
        let mut tree = Tree::new();
        for pattern in patterns {
            tree.entry(pattern, || *pattern);
        }
        tree
    }

    fn find(tree: &Tree<&'static str>, path: &str) -> Option<&'static str> {
        let path: Vec<_> = path.split('/').skip(1).collect();
        tree.find(&path).copied()
    }

    #[test]
    fn a_word_goes_before_any_segment_and_that_before_the_rest() {
        let tree = tree(&["/a/b", "/a/{id}", "/a/{id}/links", "/a/{all…}"]);
        for (path, pattern) in [
            ("/a/b", Some("/a/b")),
            ("/a/c", Some("/a/{id}")),
            ("/a/b/links", Some("/a/{id}/links")),
            ("/a/c/d", Some("/a/{all…}")),
            ("/a/b/links/x", Some("/a/{all…}")),
            ("/a", None),
            ("/b", None),
        ] {
            assert_eq!(find(&tree, path), pattern, "{path}");
        }
    }

    #[test]
    fn an_empty_segment_is_a_segment_and_the_root_is_none() {
        let tree = tree(&["/", "/a", "/a/"]);
        assert_eq!(tree.find(&[]), Some(&"/"));
        assert_eq!(tree.find(&["a", ""]), Some(&"/a/"));
        assert_eq!(tree.find(&["", "a"]), None);
    }

    #[test]
    fn the_names_of_a_pattern_know_where_they_are() {
        assert_eq!(names("/api/{id}/x/{href…}"), [("id", 1, false), ("href", 3, true)]);
        assert_eq!(names("/"), []);
    }

    #[test]
    fn a_long_path_is_searched_no_deeper_than_the_patterns_go() {
        let tree = tree(&["/{a}/{b}", "/x/{b}/c"]);
        let path = vec!["x"; 100_000];
        assert_eq!(tree.find(&path), None);
    }
}
