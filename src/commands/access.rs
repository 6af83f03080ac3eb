//! Who may run what: joins users, who know commands as ids only, with the command table.
//!
//! [`check`] is the one judgement, for requests, for queued commands and for what scripts call; [`refuse`] keeps account
//! of a refusal. [`load_users`] takes in what configuration or file say of users.

use std::path::Path;
use std::sync::LazyLock;

use super::client::describe;
use super::keys::{self, ACCESS, DELETE, INSERT, KeyFlags, KeyRefs, UPDATE};
use super::registry::{self, Channels, Command};
use super::spec::{NO_AUTH, category};
use crate::acl::catalogue::Known;
use crate::acl::log::{Context, Reason, Refusal};
use crate::acl::selector::{Access, READ, WRITE};
use crate::acl::user::SetError;
use crate::acl::{Catalogue, Rules, Selector, User, file};
use crate::config::choices::AclPubsubDefault;
use crate::config::{Config, replace_file};
use crate::engine::{Engine, Session};
use crate::resp::ReplyError;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
    commands: registry::all()
        .iter()
        .map(|command| {
            let first = command.id.index() + 1;
            Known {
                full_name: command.full_name.clone(),
                categories: command.categories,
                is_subcommand: command.parent.is_some(),
                subcommands: first..first + command.spec.subcommands.len(),
            }
        })
        .collect(),
    categories: category::NAMES,
});

/// What rules are read with under this configuration.
pub fn rules(config: &Config) -> Rules<'static> {
    Rules { catalogue: &CATALOGUE, all_channels: config.acl_pubsub_default == AclPubsubDefault::Allchannels }
}

// ---- checks ----------------------------------------------------------------------------------------------------------

/// Why a user may not run a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: Reason,
    /// The argument that names the key or channel; 0 for the command.
    pub at: usize,
}

impl Denial {
    /// What may not be run or reached.
    pub fn object<'a>(self, command: &'a Command, args: &[&'a [u8]]) -> &'a [u8] {
        if self.reason == Reason::Command { command.full_name.as_bytes() } else { args[self.at] }
    }

    /// The error of a request.
    pub fn error(self, command: &Command) -> ReplyError {
        match self.reason {
            Reason::Command => {
                let name = &command.full_name;
                ReplyError::Text(format!("NOPERM this user has no permissions to run the '{name}' command").into())
            }
            Reason::Channel => {
                ReplyError::of("NOPERM this user has no permissions to access one of the channels used as arguments")
            }
            Reason::Key | Reason::Auth => {
                ReplyError::of("NOPERM this user has no permissions to access one of the keys used as arguments")
            }
        }
    }

    /// The error of a command that was queued while it was allowed.
    pub fn error_in_exec(self) -> ReplyError {
        let reason = match self.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Channel => "no permission to access one of the channels used as arguments to the command",
            Reason::Key | Reason::Auth => "no permission to touch the specified keys",
        };
        let text = "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                    command is no longer allowed for the following reason:";
        ReplyError::Text(format!("{text} {reason}").into())
    }

    /// The error of what a script calls, without a code word.
    pub fn text_in_script(self) -> &'static str {
        match self.reason {
            Reason::Command => "The user executing the script can't run this command or subcommand",
            Reason::Channel => "The user executing the script can't publish to the channel mentioned in the command",
            Reason::Key | Reason::Auth => {
                "The user executing the script can't access at least one of the keys mentioned in the command arguments"
            }
        }
    }
}

/// What is done to a key whose spec has these flags, as users are allowed it.
fn access_of(flags: KeyFlags) -> Access {
    let reads = if flags & ACCESS != 0 { READ } else { 0 };
    let writes = if flags & (INSERT | DELETE | UPDATE) != 0 { WRITE } else { 0 };
    reads | writes
}

/// The keys of a call, found when a selector first asks.
struct Call<'a> {
    command: &'a Command,
    args: &'a [&'a [u8]],
    keys: Option<KeyRefs>,
}

impl Call<'_> {
    fn keys(&mut self) -> &KeyRefs {
        self.keys.get_or_insert_with(|| {
            let mut found = KeyRefs::new();
            // Of a call that makes no sense the handler tells the error.
            if keys::keys(self.command, self.args, &mut found).is_err() {
                found.clear();
            }
            found
        })
    }

    fn check(&mut self, selector: &Selector) -> Result<(), Denial> {
        let (command, args) = (self.command, self.args);
        let first = args.get(if command.parent.is_some() { 2 } else { 1 }).copied();
        if !command.has(NO_AUTH) && !selector.allows_command(command.id.index(), first) {
            return Err(Denial { reason: Reason::Command, at: 0 });
        }
        if !selector.allows_all_keys() && command.has_keys() {
            let denied = |key: &&keys::KeyRef| !selector.allows_key(args[key.index as usize], access_of(key.flags));
            if let Some(key) = self.keys().iter().find(denied) {
                return Err(Denial { reason: Reason::Key, at: key.index as usize });
            }
        }
        if !selector.allows_all_channels()
            && let Some(Channels { last, are_patterns }) = command.channels
        {
            let end = args.len().min(last.unwrap_or(usize::MAX));
            if let Some(at) = (1..end).find(|at| !selector.allows_channel(args[*at], are_patterns)) {
                return Err(Denial { reason: Reason::Channel, at });
            }
        }
        Ok(())
    }
}

/// Whether the user may make this call. Of several selectors' denials the one that got farthest is told.
pub fn check(user: &User, command: &Command, args: &[&[u8]]) -> Result<(), Denial> {
    let rank = |denial: &Denial| {
        let reason = match denial.reason {
            Reason::Command => 0,
            Reason::Key | Reason::Auth => 1,
            Reason::Channel => 2,
        };
        (reason, denial.at)
    };
    let mut call = Call { command, args, keys: None };
    let mut told: Option<Denial> = None;
    for selector in user.selectors() {
        match call.check(selector) {
            Ok(()) => return Ok(()),
            Err(denial) if told.as_ref().is_none_or(|told| rank(told) < rank(&denial)) => told = Some(denial),
            Err(_) => {}
        }
    }
    told.map_or(Ok(()), Err)
}

/// Whether the client may make this call and read any key whatever.
pub fn may_read_every_key(session: &Session, command: &Command, args: &[&[u8]]) -> bool {
    let mut call = Call { command, args, keys: None };
    session.user().is_none_or(|user| {
        user.selectors().any(|selector| selector.allows_every_key(READ) && call.check(selector).is_ok())
    })
}

/// Counts a refusal and writes it into ACL LOG. `name` is the user, where it is not the session's.
pub fn refuse(engine: &Engine, session: &Session, refused: Refused<'_>, context: Context, now_ms: u64) {
    let stats = &engine.stats;
    let counter = match refused.reason {
        Reason::Command => &stats.acl_denied_commands,
        Reason::Key => &stats.acl_denied_keys,
        Reason::Channel => &stats.acl_denied_channels,
        Reason::Auth => &stats.acl_denied_auth,
    };
    counter.add(1);
    let mut client = String::new();
    describe(&session.handle, refused.args, now_ms, &session.handle, &mut client);
    let refusal = Refusal {
        reason: refused.reason,
        context,
        object: refused.object.to_vec(),
        username: refused.username.to_vec(),
        client: client.trim_end().to_owned(),
    };
    engine.denials.add(refusal, now_ms, engine.config.load().acllog_max_len as usize);
}

/// What was refused, for [`refuse`].
pub struct Refused<'a> {
    pub reason: Reason,
    pub object: &'a [u8],
    pub username: &'a [u8],
    pub args: &'a [&'a [u8]],
}

/// Checks a call of a session that [`Session::is_restricted`], and keeps account of a denial.
#[cold]
pub fn check_session(
    engine: &Engine,
    session: &Session,
    command: &Command,
    args: &[&[u8]],
    context: Context,
    now_ms: u64,
) -> Result<(), Denial> {
    let Some(user) = session.user() else { return Ok(()) };
    let checked = check(user, command, args);
    if let Err(denial) = checked {
        let object = denial.object(command, args);
        refuse(engine, session, Refused { reason: denial.reason, object, username: &user.name, args }, context, now_ms);
    }
    checked
}

// ---- users from configuration and file -------------------------------------------------------------------------------

/// The text of an error of ACL SETUSER, without its code.
pub fn set_error_text(error: &SetError) -> Vec<u8> {
    match error {
        SetError::OpenParenthesis(word) => {
            [b"Unmatched parenthesis in acl selector starting at '", &word[..], b"'."].concat()
        }
        SetError::Rule(rule, error) => {
            [b"Error in ACL SETUSER modifier '", &rule[..], b"': ", error.text().as_bytes()].concat()
        }
    }
}

/// Takes in the users that the configuration names, or those of its users' file. The error is for the operator.
pub fn load_users(engine: &Engine) -> Result<(), String> {
    let config = engine.config.load();
    if !config.aclfile.is_empty() {
        if !config.user.is_empty() {
            return Err(
                "Configuring Cairn with users defined in its configuration and at the same time setting an ACL \
                        file path is invalid: define either an ACL file or users in the configuration, but not both."
                    .to_owned(),
            );
        }
        return load_file(engine, &config)
            .map_err(|reason| format!("Aborting startup because of ACL errors: {reason}"));
    }
    let rules = rules(&config);
    let mut names: Vec<&str> = Vec::new();
    for line in &config.user {
        let Some((name, words)) = line.split_first() else { continue };
        if names.contains(&name.as_str()) {
            return Err(format!(
                "Error in user declaration '{name}': Duplicate user found. A user can only be defined once in config \
                 files"
            ));
        }
        if crate::acl::rule::has_spaces(name.as_bytes()) {
            return Err("Spaces not allowed in ACL usernames".to_owned());
        }
        names.push(name);
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let change = |before: Option<&User>| {
            let id = before.map_or_else(|| engine.users.next_id(), |user| user.id);
            User::new(name.as_bytes(), id, rules).changed_by(&words, rules)
        };
        engine.users.change(name.as_bytes(), change).map_err(|error| {
            let text = set_error_text(&error);
            format!("Error in user declaration '{name}': {}", String::from_utf8_lossy(&text))
        })?;
        if !engine.users.get(name.as_bytes()).is_some_and(|user| user.is_enabled()) {
            tracing::info!(
                "The user '{name}' is disabled (there is no 'on' modifier in the user description). Make sure this is \
                 not a configuration error."
            );
        }
    }
    Ok(())
}

/// Replaces all users by those of the users' file; with any error nothing changes.
pub fn load_file(engine: &Engine, config: &Config) -> Result<(), String> {
    let name = &config.aclfile;
    let text = std::fs::read(name).map_err(|error| {
        let reason = crate::config::text::system_reason(&error);
        format!("Error loading ACLs, opening file '{name}': {reason}")
    })?;
    let users = file::read(&text, name, rules(config), || engine.users.next_id())?;
    engine.users.replace_all(users, User::open(engine.users.next_id(), registry::count()));
    Ok(())
}

/// Writes all users into the users' file.
pub fn save_file(engine: &Engine, config: &Config) -> std::io::Result<()> {
    let users = engine.users.all();
    replace_file(Path::new(&config.aclfile), &file::write(users.iter().map(|user| &**user)))
}
