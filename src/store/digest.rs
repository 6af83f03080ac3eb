//! Digests of values and of whole entries, for comparing data sets.

use super::collection::ValueType;
use super::entry::EntryRef;
use super::hash::{Field, HashRef};
use super::list::ListRef;
use super::set::SetRef;
use super::slot::DbIndex;
use super::stream::Stream;
use super::zset::ZsetRef;
use crate::base::digest::Digest;

/// The digest of a value, its key left out. Whether it expires counts, when does not.
pub fn of_value(entry: EntryRef<'_>) -> Digest {
    let mut digest = Digest::default();
    digest.add(entry.value_type().name().as_bytes());
    match entry.value_type() {
        ValueType::String => digest.add(entry.value()),
        ValueType::List => ListRef::of(entry).range(0, usize::MAX, |element| digest.add(&element.text())),
        ValueType::Set => digest.combine(SetRef::of(entry).digest()),
        ValueType::Zset => {
            let zset = ZsetRef::of(entry);
            digest.add_number(zset.len());
            for (member, score) in zset.iter() {
                digest.add(&member);
                digest.add_number(score.to_bits());
            }
        }
        ValueType::Hash => HashRef::new(entry).for_each(|field| digest.combine(of_field(field))),
        ValueType::Stream => entry.large::<Stream>().digest(&mut digest),
    }
    digest.add_number(u64::from(entry.expiry_ms().is_some()));
    digest
}

fn of_field(field: Field<'_>) -> Digest {
    let mut digest = Digest::default();
    digest.add(&field.name.text());
    digest.add(&field.value.text());
    digest.add_number(field.expiry_ms.unwrap_or(u64::MAX));
    digest
}

/// The digest of an entry in its place: database, key, value and the moment of expiry.
pub fn of_entry(db: DbIndex, entry: EntryRef<'_>) -> Digest {
    let mut digest = of_value(entry);
    digest.add_number(u64::from(db));
    digest.add(entry.key());
    digest.add_number(entry.expiry_ms().unwrap_or(u64::MAX));
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Entry, StringForm};

    #[test]
    fn everything_that_matters_counts() {
        let entry = |key: &str, value: &str, expiry_ms| {
            Entry::new(key.as_bytes(), value.as_bytes(), expiry_ms, StringForm::Auto, 1)
        };
        let plain = entry("k", "v", None);
        assert_eq!(of_value(plain.view()), of_value(entry("other", "v", None).view()));
        assert_ne!(of_value(plain.view()), of_value(entry("k", "w", None).view()));
        assert_ne!(of_value(plain.view()), of_value(entry("k", "v", Some(1)).view()));
        assert_eq!(of_value(entry("k", "v", Some(2)).view()), of_value(entry("k", "v", Some(1)).view()));
        assert_ne!(of_entry(0, plain.view()), of_entry(1, plain.view()));
        assert_ne!(of_entry(0, plain.view()), of_entry(0, entry("j", "v", None).view()));
        assert_ne!(of_entry(0, entry("k", "v", Some(2)).view()), of_entry(0, entry("k", "v", Some(1)).view()));
    }
}
