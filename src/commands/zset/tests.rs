//! Sorted sets through their commands.
