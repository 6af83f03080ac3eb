//! Configuration: the table of directives, the reader of redis.conf syntax, CONFIG GET, SET and REWRITE. Plain data: it
//! reads and writes configuration files and touches nothing else of the system.
//!
//! At start:
//!
//! ```text
//! let arguments = config::parse_arguments(&args);           // after --version, --help, --check-config are taken out
//! match config::load(&arguments, &mut std::io::stdin()) {
//!     Err(error) => { eprintln!("{error}"); exit(1) }       // file, line, reason
//!     Ok(loaded) => {
//!         // chdir(loaded.config.dir); log loaded.warnings and config::without_effect(&loaded.config)
//!         Live::new(loaded.config, loaded.file)
//!     }
//! }
//! ```
//!
//! In force: `live.load()` is an `Arc<Config>` with a typed field per directive (`config.port`, `config.save`), never
//! changed in place. A worker keeps it and the `live.generation()` it had, and loads again when that differs.
//!
//! CONFIG GET is `get(&config, patterns)`. CONFIG SET is `live.set(pairs, context, apply)`: all or nothing; `apply`
//! gets the old and the new configuration, acts on what differs (or vetoes, naming directive and reason), and only then
//! the new one is published. It must not call `set` or `update` itself. `is_sensitive(name)` says whose value to keep
//! out of logs. CONFIG REWRITE is `live.rewrite(options)`. All errors display as the reply's text without its leading
//! code, except `SetError::Loading`, which has a code of its own.
//!
//! What the server itself changes (REPLICAOF, a password set by ACL) goes through `live.update(..)`.
//!
//! A new directive is a row in `table.rs` and nothing else, unless its form is new (`special.rs`). `find(name)` and
//! `ROWS` serve whoever needs a row's documentation, bounds or flags. `config/cairn.conf` and `docs/directives.md` are
//! rendered from the rows (`UPDATE=1 cargo test --test config_files` writes them).

mod arguments;
pub mod choices;
mod include;
mod live;
mod load;
mod render;
mod rewrite;
pub mod row;
pub mod special;
mod table;
#[cfg(test)]
mod test_directory;
pub mod text;
mod value;

pub use arguments::{Arguments, parse_arguments};
pub use live::{Live, SetContext, SetError, get, is_sensitive};
pub use load::{LoadError, Loaded, Source, load, load_text, without_effect};
pub use render::{render_default_conf, render_directives_page};
pub use rewrite::{RewriteError, RewriteOptions, replace_file, rewrite_file, rewritten};
pub use table::{Config, IGNORED, ROWS, find};
