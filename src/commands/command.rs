//! COMMAND: the server describes its own commands. Reads the table and nothing else.
//!
//! Clients key on the exact shape of these replies: which elements are maps, sets, arrays, status lines or bulk
//! strings. Commands are listed by name; hidden flags are not shown; a renamed command keeps its first name here.

use super::Cx;
use super::keys::{self, BeginSearch, FindKeys, KeyFlags, KeyRefs, KeySpec};
use super::registry::Command;
use super::spec::{ArgKind, ArgSpec, Categories, NO_MANDATORY_KEYS, category};
use crate::base::glob;
use crate::resp::{Reply, ReplyError};

type Done = Result<(), ReplyError>;

/// COMMAND
pub fn command(cx: &mut Cx<'_>, _: &[&[u8]]) -> Done {
    cx.reply.array(cx.lookup.visible().len());
    cx.lookup.visible().for_each(|command| write_info(&mut cx.reply, command));
    Ok(())
}

/// COMMAND COUNT
pub fn count(cx: &mut Cx<'_>, _: &[&[u8]]) -> Done {
    cx.reply.integer(cx.lookup.visible().len() as i64);
    Ok(())
}

/// COMMAND INFO [name ...]
pub fn info(cx: &mut Cx<'_>, args: &[&[u8]]) -> Done {
    if args.len() == 2 {
        return command(cx, args);
    }
    cx.reply.array(args.len() - 2);
    for name in &args[2..] {
        match cx.lookup.by_full_name(name) {
            Some(command) => write_info(&mut cx.reply, command),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

/// COMMAND DOCS [name ...]
pub fn docs(cx: &mut Cx<'_>, args: &[&[u8]]) -> Done {
    let commands: Vec<&Command> = match &args[2..] {
        [] => cx.lookup.visible().collect(),
        names => names.iter().filter_map(|name| cx.lookup.by_full_name(name)).collect(),
    };
    cx.reply.map(commands.len());
    for command in commands {
        cx.reply.bulk_text(&command.full_name);
        write_docs(&mut cx.reply, command);
    }
    Ok(())
}

/// What COMMAND LIST lets through.
enum Filter<'a> {
    Everything,
    /// There are no modules.
    Nothing,
    Category(Categories),
    Pattern(&'a [u8]),
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob]
pub fn list(cx: &mut Cx<'_>, args: &[&[u8]]) -> Done {
    let filter = match &args[2..] {
        [] => Filter::Everything,
        [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => match kind.to_ascii_lowercase().as_slice() {
            b"module" => Filter::Nothing,
            b"aclcat" => category::by_name(value).map_or(Filter::Nothing, Filter::Category),
            b"pattern" => Filter::Pattern(value),
            _ => return Err(ReplyError::Syntax),
        },
        _ => return Err(ReplyError::Syntax),
    };
    let passes = |command: &&Command| match filter {
        Filter::Everything => true,
        Filter::Nothing => false,
        Filter::Category(bit) => command.categories & bit != 0,
        Filter::Pattern(pattern) => glob::matches(pattern, command.full_name.as_bytes(), true),
    };
    let with_subcommands = |command: &'static Command| std::iter::once(command).chain(command.subcommands());
    let listed: Vec<&Command> = cx.lookup.visible().flat_map(with_subcommands).filter(passes).collect();
    cx.reply.array(listed.len());
    listed.iter().for_each(|command| cx.reply.bulk_text(&command.full_name));
    Ok(())
}

/// COMMAND GETKEYS name [arg ...]
pub fn getkeys(cx: &mut Cx<'_>, args: &[&[u8]]) -> Done {
    let call = &args[2..];
    let keys = keys_of_call(cx, call)?;
    cx.reply.array(keys.len());
    keys.iter().for_each(|key| cx.reply.bulk(call[key.index as usize]));
    Ok(())
}

/// COMMAND GETKEYSANDFLAGS name [arg ...]
pub fn getkeysandflags(cx: &mut Cx<'_>, args: &[&[u8]]) -> Done {
    let call = &args[2..];
    let keys = keys_of_call(cx, call)?;
    cx.reply.array(keys.len());
    for key in keys {
        cx.reply.array(2);
        cx.reply.bulk(call[key.index as usize]);
        write_key_flags(&mut cx.reply, key.flags);
    }
    Ok(())
}

fn keys_of_call(cx: &Cx<'_>, call: &[&[u8]]) -> Result<KeyRefs, ReplyError> {
    let command = cx.lookup.resolve(call).map_err(|_| ReplyError::of("ERR Invalid command specified"))?;
    if !command.has_keys() {
        return Err(ReplyError::of("ERR The command has no key arguments"));
    }
    if !command.spec.accepts(call.len()) {
        return Err(ReplyError::of("ERR Invalid number of arguments specified for command"));
    }
    let mut found = KeyRefs::new();
    match keys::keys(command, call, &mut found) {
        Err(_) if !command.has(NO_MANDATORY_KEYS) => Err(ReplyError::of("ERR Invalid arguments specified for command")),
        _ => Ok(found),
    }
}

/// COMMAND HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Done {
    write_help(
        &mut cx.reply,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Describe every command.",
            "COUNT",
            "    Tell how many commands there are.",
            "DOCS [<command-name> ...]",
            "    Document these commands, or all.",
            "GETKEYS <full-command>",
            "    Tell which arguments of a command are keys.",
            "GETKEYSANDFLAGS <full-command>",
            "    Tell which arguments are keys, and what is done to them.",
            "INFO [<command-name> ...]",
            "    Describe these commands, or all.",
            "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    List the names of commands.",
        ],
    );
    Ok(())
}

/// The reply of every HELP subcommand: a heading, the lines, and HELP itself.
pub fn write_help(reply: &mut Reply<'_>, command: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| reply.simple(line));
    reply.simple("HELP");
    reply.simple("    Print this help.");
}

/// The handler of a command that is nothing but its subcommands. `Lookup::resolve` refuses such calls before.
pub fn unknown_subcommand(cx: &mut Cx<'_>, args: &[&[u8]]) -> Done {
    match cx.lookup.resolve(args) {
        Err(unknown) => Err(unknown.error(args)),
        Ok(command) => Err(ReplyError::wrong_arity(&command.full_name)),
    }
}

fn write_info(reply: &mut Reply<'_>, command: &Command) {
    reply.array(10);
    reply.bulk_text(&command.full_name);
    reply.integer(i64::from(command.spec.arity));
    write_words(reply, command.flag_names());
    reply.integer(i64::from(command.range.first));
    reply.integer(i64::from(command.range.last));
    reply.integer(i64::from(command.range.step));
    let categories: Vec<String> = category::names(command.categories).map(|name| format!("@{name}")).collect();
    write_words(reply, categories.iter().map(String::as_str));
    reply.set(command.spec.tips.len());
    command.spec.tips.iter().for_each(|tip| reply.bulk_text(tip));
    reply.set(command.spec.keys.len());
    command.spec.keys.iter().for_each(|spec| write_key_spec(reply, spec));
    // A set when there are none, an array otherwise: so it is in Redis.
    match command.subcommands() {
        [] => reply.set(0),
        subcommands => {
            reply.array(subcommands.len());
            subcommands.iter().for_each(|sub| write_info(reply, sub));
        }
    }
}

fn write_words<'w>(reply: &mut Reply<'_>, words: impl Iterator<Item = &'w str>) {
    let words: Vec<&str> = words.collect();
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

fn write_key_flags(reply: &mut Reply<'_>, flags: KeyFlags) {
    write_words(reply, keys::KEY_FLAG_NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name));
}

fn write_key_spec(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(spec.notes.is_some()));
    if let Some(notes) = spec.notes {
        reply.bulk_text("notes");
        reply.bulk_text(notes);
    }
    reply.bulk_text("flags");
    write_key_flags(reply, spec.flags);
    reply.bulk_text("begin_search");
    match spec.begin {
        BeginSearch::Index(index) => write_search(reply, "index", &[("index", i64::from(index))]),
        BeginSearch::Keyword { word, start_from } => {
            reply.map(2);
            reply.bulk_text("type");
            reply.bulk_text("keyword");
            reply.bulk_text("spec");
            reply.map(2);
            reply.bulk_text("keyword");
            reply.bulk_text(word);
            reply.bulk_text("startfrom");
            reply.integer(i64::from(start_from));
        }
        BeginSearch::Unknown => write_search(reply, "unknown", &[]),
    }
    reply.bulk_text("find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            let numbers = [("lastkey", i64::from(last)), ("keystep", i64::from(step)), ("limit", i64::from(limit))];
            write_search(reply, "range", &numbers);
        }
        FindKeys::KeyNum { count_at, first, step } => {
            let numbers =
                [("keynumidx", i64::from(count_at)), ("firstkey", i64::from(first)), ("keystep", i64::from(step))];
            write_search(reply, "keynum", &numbers);
        }
        FindKeys::Unknown => write_search(reply, "unknown", &[]),
    }
}

fn write_search(reply: &mut Reply<'_>, kind: &str, numbers: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk_text("type");
    reply.bulk_text(kind);
    reply.bulk_text("spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk_text(name);
        reply.integer(*number);
    }
}

fn write_docs(reply: &mut Reply<'_>, command: &Command) {
    let spec = command.spec;
    let mut texts = vec![("summary", spec.summary), ("since", spec.since), ("group", spec.group.name())];
    if !spec.complexity.is_empty() {
        texts.push(("complexity", spec.complexity));
    }
    let mut doc_flags = Vec::new();
    if spec.deprecated.is_some() {
        doc_flags.push("deprecated");
    }
    if spec.system {
        doc_flags.push("syscmd");
    }
    let subcommands = command.subcommands();
    let parts = [!doc_flags.is_empty(), !spec.history.is_empty(), !spec.args.is_empty(), !subcommands.is_empty()];
    let deprecation = if spec.deprecated.is_some() { 2 } else { 0 };
    reply.map(texts.len() + deprecation + parts.iter().filter(|present| **present).count());
    for (name, text) in texts {
        reply.bulk_text(name);
        reply.bulk_text(text);
    }
    if !doc_flags.is_empty() {
        reply.bulk_text("doc_flags");
        write_words(reply, doc_flags.into_iter());
    }
    if let Some(deprecation) = spec.deprecated {
        reply.bulk_text("deprecated_since");
        reply.bulk_text(deprecation.since);
        reply.bulk_text("replaced_by");
        reply.bulk_text(deprecation.replaced_by);
    }
    if !spec.history.is_empty() {
        reply.bulk_text("history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            reply.bulk_text(version);
            reply.bulk_text(change);
        }
    }
    if !spec.args.is_empty() {
        reply.bulk_text("arguments");
        write_args(reply, spec.args);
    }
    if !subcommands.is_empty() {
        reply.bulk_text("subcommands");
        reply.map(subcommands.len());
        for sub in subcommands {
            reply.bulk_text(&sub.full_name);
            write_docs(reply, sub);
        }
    }
}

fn write_args(reply: &mut Reply<'_>, args: &[ArgSpec]) {
    reply.array(args.len());
    for arg in args {
        let nested = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
        let flags = [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")];
        let flagged = flags.iter().any(|(set, _)| *set);
        let texts = [
            ("name", Some(arg.name)),
            ("type", Some(arg.kind.name())),
            ("display_text", if nested { None } else { Some(arg.display.unwrap_or(arg.name)) }),
        ];
        let late_texts = [("token", arg.token), ("since", arg.since), ("deprecated_since", arg.deprecated_since)];
        let present = texts.iter().chain(&late_texts).filter(|(_, text)| text.is_some()).count();
        reply.map(present + usize::from(arg.key_spec.is_some()) + usize::from(flagged) + usize::from(nested));
        write_texts(reply, &texts);
        if let Some(index) = arg.key_spec {
            reply.bulk_text("key_spec_index");
            reply.integer(i64::from(index));
        }
        write_texts(reply, &late_texts);
        if flagged {
            reply.bulk_text("flags");
            write_words(reply, flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name));
        }
        if nested {
            reply.bulk_text("arguments");
            write_args(reply, arg.args);
        }
    }
}

fn write_texts(reply: &mut Reply<'_>, texts: &[(&str, Option<&str>)]) {
    for (name, text) in texts {
        if let Some(text) = text {
            reply.bulk_text(name);
            reply.bulk_text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::lookup::Lookup;
    use crate::commands::testing::TestServer;
    use crate::resp::Protocol;

    /// The reply to a call, line ends shown as spaces.
    fn replied(protocol: Protocol, call: &str) -> String {
        let mut server = TestServer::new();
        server.session(0).set_protocol(protocol);
        server.run(call).replace("\r\n", " ")
    }

    #[test]
    fn info_in_both_protocols() {
        let resp3 = "*1 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string +@fast ~0 ~1 %3 $5 flags ~2 +RO +access \
             $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
             $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0 ";
        assert_eq!(replied(Protocol::Resp3, "command info GET"), resp3);
        let resp2 = resp3.replace('~', "*").replace("%3", "*6").replace("%2", "*4").replace("%1", "*2");
        assert_eq!(replied(Protocol::Resp2, "command info get"), resp2);
        assert_eq!(replied(Protocol::Resp2, "command info nosuch config| x|y"), "*3 $-1 $-1 $-1 ");
        assert!(replied(Protocol::Resp3, "command info object").contains("*5 *10 $15 object|encoding :3 "));
        assert!(replied(Protocol::Resp3, "command").starts_with(&format!("*{} *10 $3 acl ", visible())));
        assert_eq!(replied(Protocol::Resp3, "command info"), replied(Protocol::Resp3, "command"));
    }

    fn visible() -> usize {
        Lookup::plain().visible().len()
    }

    #[test]
    fn docs_in_both_protocols() {
        let resp3 = replied(Protocol::Resp3, "command docs getset nosuch");
        let expected = "%1 $6 getset %8 $7 summary ";
        assert!(resp3.starts_with(expected), "{resp3}");
        assert!(
            resp3.contains(" $5 since $5 1.0.0 $5 group $6 string $10 complexity $4 O(1) $9 doc_flags ~1 +deprecated ")
        );
        assert!(resp3.ends_with(
            "$9 arguments *2 %4 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :0 \
             %3 $4 name $5 value $4 type $6 string $12 display_text $5 value "
        ));
        assert!(replied(Protocol::Resp2, "command docs getset").starts_with("*2 $6 getset *16 "));
        assert_eq!(replied(Protocol::Resp3, "command docs nosuch"), "%0 ");
        assert!(replied(Protocol::Resp3, "command docs config").contains("$11 subcommands %5 $10 config|get %"));
        assert!(replied(Protocol::Resp3, "command docs").starts_with(&format!("%{} $3 acl ", visible())));
    }

    #[test]
    fn lists() {
        let list = |rest: &str| replied(Protocol::Resp2, &format!("command list{rest}"));
        assert_eq!(replied(Protocol::Resp2, "command count"), format!(":{} ", visible()));
        assert!(list("").starts_with(&format!("*{} ", crate::commands::registry::count())));
        assert_eq!(list(" filterby pattern BITF*"), "*2 $8 bitfield $11 bitfield_ro ");
        assert_eq!(list(" FilterBy AclCat TRANSACTION"), "*5 $7 discard $4 exec $5 multi $7 unwatch $5 watch ");
        assert_eq!(list(" filterby pattern object|?req"), "*1 $11 object|freq ");
        for nothing in [" filterby aclcat nosuch", " filterby module nosuch"] {
            assert_eq!(list(nothing), "*0 ");
        }
        for wrong in [" filterby", " filterby aclcat", " filterby nosuch x", " nosuch", " filterby pattern a b"] {
            assert_eq!(list(wrong), "-ERR syntax error ");
        }
    }

    #[test]
    fn keys_of_calls() {
        for (call, expected) in [
            ("getkeys mset a 1 b 2", "*2 $1 a $1 b "),
            ("getkeys object freq k", "*1 $1 k "),
            ("getkeysandflags set k v", "*1 *2 $1 k *2 +OW +update "),
            ("getkeysandflags set k v get", "*1 *2 $1 k *3 +RW +access +update "),
            ("getkeys nosuch a", "-ERR Invalid command specified "),
            ("getkeys object nosuch a", "-ERR Invalid command specified "),
            ("getkeys ping a", "-ERR The command has no key arguments "),
            ("getkeys client list", "-ERR The command has no key arguments "),
            ("getkeys get", "-ERR Invalid number of arguments specified for command "),
        ] {
            assert_eq!(replied(Protocol::Resp2, &format!("command {call}")), expected, "{call}");
        }
    }

    #[test]
    fn help_has_heading_and_footer() {
        let help = replied(Protocol::Resp2, "command help");
        assert!(
            help.starts_with("*17 +COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are: +(no subcommand) ")
        );
        assert!(help.ends_with("+HELP +    Print this help. "));
        assert_eq!(replied(Protocol::Resp2, "client"), "-ERR wrong number of arguments for 'client' command ");
    }
}
