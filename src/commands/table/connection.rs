//! Rows: commands about the connection and about clients.

use crate::commands::spec::*;
use crate::commands::{Handler, client, connection, tracking};
use category::CONNECTION;

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Connection, name, arity, flags, categories, handler)
}

const fn container(name: &'static str) -> CommandSpec {
    CommandSpec::container(Group::Connection, name)
}

pub static ROWS: &[CommandSpec] = &[
    row("auth", -2, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, CONNECTION, connection::auth)
        .doc("1.0.0", "Logs the connection in.", "O(N), N: passwords of the user")
        .history(&[("6.0.0", "A username can be given (ACL).")])
        .args(&[string("username").since("6.0.0").optional(), string("password")]),
    container("client").doc("2.4.0", "Commands about client connections.", "Depends on the subcommand").subcommands(&[
        row("caching", 3, NOSCRIPT | LOADING | STALE, CONNECTION, tracking::caching)
            .doc("6.0.0", "Says whether the keys of the next command are tracked.", "O(1)")
            .args(&[one_of("mode", &[word("yes", "YES"), word("no", "NO")])]),
        row("getname", 2, NOSCRIPT | LOADING | STALE, CONNECTION, client::getname).doc(
            "2.6.9",
            "Tells the connection's name.",
            "O(1)",
        ),
        row("getredir", 2, NOSCRIPT | LOADING | STALE, CONNECTION, tracking::getredir).doc(
            "6.0.0",
            "Tells which client gets this one's invalidation messages.",
            "O(1)",
        ),
        row("help", 2, LOADING | STALE, CONNECTION, client::help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
        row("id", 2, NOSCRIPT | LOADING | STALE, CONNECTION, client::id).doc(
            "5.0.0",
            "Tells the connection's id.",
            "O(1)",
        ),
        row("info", 2, NOSCRIPT | LOADING | STALE, CONNECTION, client::info)
            .doc("6.2.0", "Describes this connection.", "O(1)")
            .tips(&["nondeterministic_output"]),
        row("kill", -3, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION, client::kill)
            .doc("2.4.0", "Closes the connections that match.", "O(N), N: connections")
            .history(&[
                ("2.8.12", "Filters, beside the plain address."),
                ("2.8.12", "Filter by `ID`."),
                ("3.2.0", "`TYPE` knows `master`."),
                ("5.0.0", "`TYPE` knows `replica`, with `slave` as its older name."),
                ("6.2.0", "Filter by `LADDR`."),
            ])
            .args(&[one_of(
                "filter",
                &[
                    string("old-format").display("ip:port").deprecated("2.8.12"),
                    one_of(
                        "new-format",
                        &[
                            integer("client-id").token("ID").since("2.8.12").optional(),
                            one_of(
                                "client-type",
                                &[
                                    word("normal", "NORMAL"),
                                    word("master", "MASTER").since("3.2.0"),
                                    word("slave", "SLAVE"),
                                    word("replica", "REPLICA").since("5.0.0"),
                                    word("pubsub", "PUBSUB"),
                                ],
                            )
                            .token("TYPE")
                            .since("2.8.12")
                            .optional(),
                            string("username").token("USER").optional(),
                            string("addr").token("ADDR").display("ip:port").optional(),
                            string("laddr").token("LADDR").display("ip:port").since("6.2.0").optional(),
                            one_of("skipme", &[word("yes", "YES"), word("no", "NO")]).token("SKIPME").optional(),
                        ],
                    )
                    .multiple(),
                ],
            )]),
        row("list", -2, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION, client::list)
            .doc("2.4.0", "Describes the open connections.", "O(N), N: connections")
            .history(&[
                ("2.8.12", "Field `id`."),
                ("5.0.0", "Filter by `TYPE`."),
                ("6.0.0", "Field `user`."),
                ("6.2.0", "Fields `argv-mem`, `tot-mem`, `laddr`, `redir`; filter by `ID`."),
                ("7.0.0", "Fields `resp`, `multi-mem`, `rbs`, `rbp`."),
                ("7.0.3", "Field `ssub`."),
            ])
            .tips(&["nondeterministic_output"])
            .args(&[
                one_of(
                    "client-type",
                    &[
                        word("normal", "NORMAL"),
                        word("master", "MASTER"),
                        word("replica", "REPLICA"),
                        word("pubsub", "PUBSUB"),
                    ],
                )
                .token("TYPE")
                .since("5.0.0")
                .optional(),
                integer("client-id").token("ID").since("6.2.0").optional().multiple(),
            ]),
        row("no-evict", 3, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION, client::no_evict)
            .doc("7.0.0", "Exempts the connection from client eviction, or ends that.", "O(1)")
            .args(&[one_of("enabled", &[word("on", "ON"), word("off", "OFF")])]),
        row("no-touch", 3, NOSCRIPT | LOADING | STALE, CONNECTION, client::no_touch)
            .doc("7.2.0", "Stops the connection's reads from counting as use of a key.", "O(1)")
            .args(&[one_of("enabled", &[word("on", "ON"), word("off", "OFF")])]),
        row("pause", -3, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION, client::pause)
            .doc("3.0.0", "Makes clients wait for a while before their commands run.", "O(1)")
            .history(&[("6.2.0", "A mode can be given: `WRITE` pauses only writes.")])
            .args(&[
                integer("timeout"),
                one_of("mode", &[word("write", "WRITE"), word("all", "ALL")]).since("6.2.0").optional(),
            ]),
        row("reply", 3, NOSCRIPT | LOADING | STALE, CONNECTION, client::reply)
            .doc("3.2.0", "Turns replies to this connection on, off, or off for one command.", "O(1)")
            .args(&[one_of("action", &[word("on", "ON"), word("off", "OFF"), word("skip", "SKIP")])]),
        row("setinfo", 4, NOSCRIPT | LOADING | STALE, CONNECTION, client::setinfo)
            .doc("7.2.0", "Records a property of the client library.", "O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args(&[one_of("attr", &[string("libname").token("LIB-NAME"), string("libver").token("LIB-VER")])]),
        row("setname", 3, NOSCRIPT | LOADING | STALE, CONNECTION, client::setname)
            .doc("2.6.9", "Names the connection.", "O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args(&[string("connection-name")]),
        row("tracking", -3, NOSCRIPT | LOADING | STALE, CONNECTION, tracking::tracking)
            .doc(
                "6.0.0",
                "Turns invalidation messages for keys that were read on or off.",
                "O(1), some options cost more",
            )
            .args(&[
                one_of("status", &[word("on", "ON"), word("off", "OFF")]),
                integer("client-id").token("REDIRECT").optional(),
                string("prefix").token("PREFIX").optional().multiple_token(),
                word("bcast", "BCAST").optional(),
                word("optin", "OPTIN").optional(),
                word("optout", "OPTOUT").optional(),
                word("noloop", "NOLOOP").optional(),
            ]),
        row("trackinginfo", 2, NOSCRIPT | LOADING | STALE, CONNECTION, tracking::trackinginfo).doc(
            "6.2.0",
            "Tells how this connection tracks keys.",
            "O(1)",
        ),
        row("unblock", -3, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION, client::unblock)
            .doc("5.0.0", "Ends the wait of a client that blocks in a command.", "O(log N), N: connections")
            .args(&[
                integer("client-id"),
                one_of("unblock-type", &[word("timeout", "TIMEOUT"), word("error", "ERROR")]).optional(),
            ]),
        row("unpause", 2, ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION, client::unpause).doc(
            "6.2.0",
            "Lets paused clients go on.",
            "O(N), N: paused clients",
        ),
    ]),
    row("echo", 2, LOADING | STALE | FAST, CONNECTION, connection::echo)
        .doc("1.0.0", "Sends the argument back.", "O(1)")
        .args(&[string("message")]),
    row("hello", -1, NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, CONNECTION, connection::hello)
        .doc("6.0.0", "Chooses the protocol version, and may log in and name the connection.", "O(1)")
        .history(&[("6.2.0", "Without a version it only describes the connection.")])
        .args(&[block(
            "arguments",
            &[
                integer("protover"),
                block("auth", &[string("username"), string("password")]).token("AUTH").optional(),
                string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()]),
    row("ping", -1, FAST | LISTENERS_MAY, CONNECTION, connection::ping)
        .doc("1.0.0", "Answers, so that a client knows the server is there.", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[string("message").optional()]),
    row(
        "quit",
        -1,
        ALLOW_BUSY | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | NEVER_QUEUED | LISTENERS_MAY,
        CONNECTION,
        connection::quit,
    )
    .doc("1.0.0", "Closes the connection.", "O(1)")
    .deprecated("7.2.0", "just closing the connection"),
    row(
        "reset",
        1,
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | NEVER_QUEUED | LISTENERS_MAY,
        CONNECTION,
        connection::reset,
    )
    .doc("6.2.0", "Puts the connection in the state it had when it was opened.", "O(1)"),
    row("select", 2, LOADING | STALE | FAST, CONNECTION, connection::select)
        .doc("1.0.0", "Changes the connection's database.", "O(1)")
        .args(&[integer("index")]),
];
