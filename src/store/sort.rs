//! The order that SORT brings items into.

use std::cmp::Ordering;

/// What an item is ordered by.
#[derive(Debug, PartialEq)]
pub enum Weight {
    /// Its own text.
    Own,
    Number(f64),
    /// Another text; items without one come first.
    Text(Option<Vec<u8>>),
}

#[derive(Debug)]
pub struct Item {
    pub text: Vec<u8>,
    pub weight: Weight,
}

/// How two texts compare.
#[derive(Clone, Copy, Debug)]
pub enum Collation {
    /// As C compares strings in its own locale: up to a zero byte.
    Text,
    /// Byte by byte.
    Bytes,
}

impl Collation {
    fn compare(self, one: &[u8], other: &[u8]) -> Ordering {
        let part = |text| match (self, memchr::memchr(0, text)) {
            (Collation::Text, Some(end)) => &text[..end],
            _ => text,
        };
        part(one).cmp(part(other))
    }
}

/// Orders items by their weights, which are of one kind. Equal numbers are ordered by the items' texts.
pub fn order(items: &mut [Item], collation: Collation, descending: bool) {
    let ascending = |one: &Item, other: &Item| match (&one.weight, &other.weight) {
        (Weight::Number(a), Weight::Number(b)) => {
            a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| one.text.cmp(&other.text))
        }
        (Weight::Text(Some(a)), Weight::Text(Some(b))) => collation.compare(a, b),
        (Weight::Text(a), Weight::Text(b)) => a.is_some().cmp(&b.is_some()),
        _ => collation.compare(&one.text, &other.text),
    };
    items.sort_by(|one, other| if descending { ascending(other, one) } else { ascending(one, other) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(items: &[(&str, Weight)], collation: Collation, descending: bool) -> String {
        let copied = |weight: &Weight| match weight {
            Weight::Own => Weight::Own,
            Weight::Number(number) => Weight::Number(*number),
            Weight::Text(text) => Weight::Text(text.clone()),
        };
        let item = |(text, weight): &(&str, Weight)| Item { text: text.as_bytes().to_vec(), weight: copied(weight) };
        let mut items: Vec<Item> = items.iter().map(item).collect();
        order(&mut items, collation, descending);
        items.iter().map(|item| String::from_utf8_lossy(&item.text)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn weights_order_items() {
        let numbers = [("b", 2.0), ("a", 2.0), ("c", -1.5)].map(|(text, number)| (text, Weight::Number(number)));
        assert_eq!(ordered(&numbers, Collation::Text, false), "c a b");
        assert_eq!(ordered(&numbers, Collation::Text, true), "b a c");
        let own = ["b", "B", "a\0z", "a\0b"].map(|text| (text, Weight::Own));
        assert_eq!(ordered(&own, Collation::Text, false), "B a\0z a\0b b");
        assert_eq!(ordered(&own, Collation::Bytes, false), "B a\0b a\0z b");
        let text = |text: Option<&str>| Weight::Text(text.map(|text| text.as_bytes().to_vec()));
        let texts = [("x", text(Some("b"))), ("y", text(None)), ("z", text(Some("a")))];
        assert_eq!(ordered(&texts, Collation::Text, false), "y z x");
        assert_eq!(ordered(&texts, Collation::Text, true), "x z y");
    }
}
