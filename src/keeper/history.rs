//! One slot's history as it lies on the disk.

use crate::base::key_slot::SlotId;
use crate::log::record::Record;
use crate::log::slot_index::SlotIndex;
use crate::log::slot_reader::SlotFault;
use crate::log::tables::Version;

/// The records of a slot's log, then those of the journal that are not in it. What follows a fault is not the slot's
/// history. `buffer` is filled where the log is not one piece.
pub fn of_slot<'a>(
    version: &'a Version,
    index: &'a SlotIndex,
    slot: SlotId,
    buffer: &'a mut Vec<u8>,
) -> Result<impl Iterator<Item = Result<Record<'a>, SlotFault>> + use<'a>, SlotFault> {
    let settled = version.slot(slot).sequence;
    let stored = version.read(slot, buffer)?.map(|stored| stored.map(|stored| stored.record));
    let tail = index.records(slot).filter(move |record| record.header.sequence > settled);
    Ok(stored.chain(tail.map(Ok)))
}
