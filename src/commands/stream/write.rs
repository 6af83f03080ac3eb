//! Entries and ids as replies.

use crate::resp::Reply;
use crate::store::stream::{Item, StreamId};

pub fn write_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(id.to_text().as_bytes());
}

/// An entry: its id, and its fields and values.
pub fn write_item(reply: &mut Reply<'_>, item: &Item<'_>) {
    reply.array(2);
    write_id(reply, item.id);
    reply.array(2 * item.field_count);
    for (field, value) in item.pairs() {
        reply.bulk(&field.text());
        reply.bulk(&value.text());
    }
}

/// An array of entries.
pub fn write_items<'a>(reply: &mut Reply<'_>, items: impl Iterator<Item = Item<'a>>) {
    let (start, mut count) = (reply.len(), 0);
    for item in items {
        write_item(reply, &item);
        count += 1;
    }
    reply.array_from(start, count);
}
