//! Handlers of MODULE. Redis's modules are libraries against its own interface in C; none can be loaded here, so the list
//! is empty and every request to load is refused as Redis refuses a library that it cannot load.

use super::command::write_help;
use super::context::{Cx, Outcome};
use crate::resp::ReplyError;

/// MODULE LIST
pub fn list(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.array(0);
    Ok(())
}

/// MODULE LOAD path [arg ...], MODULE LOADEX path [CONFIG name value ...] [ARGS arg ...]
pub fn load(_: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tracing::warn!("Module {} is not loaded: Cairn loads no modules", String::from_utf8_lossy(args[2]));
    Err(ReplyError::of("ERR Error loading the extension. Please check the server logs."))
}

/// MODULE UNLOAD name
pub fn unload(_: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    Err(ReplyError::of("ERR Error unloading module: no such module with that name"))
}

/// MODULE HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "MODULE",
        &[
            "LIST",
            "    List the modules that are loaded: none.",
            "LOAD <path> [<arg> ...]",
            "    Load a module. Always refused.",
            "LOADEX <path> [CONFIG <name> <value> [...]] [ARGS <arg> [...]]",
            "    Load a module with a configuration. Always refused.",
            "UNLOAD <name>",
            "    Unload a module.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::config::choices::ProtectedAction;

    #[test]
    fn there_are_none() {
        let mut server = TestServer::new();
        server.expect(&[("MODULE LIST", "*0\r\n")]);
        assert!(server.run("MODULE LOAD x").starts_with(
            "-ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it"
        ));
        let mut server = TestServer::with_config(|config| config.enable_module_command = ProtectedAction::Yes);
        server.expect(&[
            ("MODULE LOAD x", "-ERR Error loading the extension. Please check the server logs.\r\n"),
            ("MODULE LOADEX x ARGS a", "-ERR Error loading the extension. Please check the server logs.\r\n"),
            ("MODULE UNLOAD x", "-ERR Error unloading module: no such module with that name\r\n"),
        ]);
    }
}
