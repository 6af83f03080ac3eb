//! Tests of the commands on streams over the whole of a command's way.
