//! Configuration: the table of directives, files and arguments read into it, CONFIG GET/SET/REWRITE on it.
pub mod arguments;
pub mod choices;
mod include;
mod live;
mod load;
mod rewrite;
pub mod row;
pub mod special;
mod table;
#[cfg(test)]
mod test_directory;
pub mod text;
mod value;
pub use arguments::*;
pub use live::*;
pub use load::*;
pub use rewrite::*;
pub use table::*;
