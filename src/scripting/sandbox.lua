-- What scripts find around them. Runs once in each state, before any script.
--
-- A table that scripts share is shown by a proxy: an empty table whose metatable leads reads to the real one and
-- refuses writes. Functions that go past metatables are replaced by ones that know the proxies. The natives that
-- this chunk is given return first whether they failed: an error that is raised here, in Lua, has the position of
-- the script's own line, and a script catches it as the plain value that it is.

local natives, constants, deprecated = ...

local error, type, tostring, tonumber, select = error, type, tostring, tonumber, select
local unpack, next, pairs = unpack, next, pairs
local pcall, xpcall, setmetatable, getmetatable, rawset, rawget = pcall, xpcall, setmetatable, getmetatable, rawset, rawget
local setfenv, getfenv, loadstring, byte, concat, insert = setfenv, getfenv, loadstring, string.byte, table.concat, table.insert
local resume = coroutine.resume
local stopped = natives.stopped

local READ_ONLY = "Attempt to modify a readonly table"

-- Proxies, each with the table that it shows.
local shown = setmetatable({}, { __mode = "k" })

local function refuse()
    error(READ_ONLY, 2)
end

local function missing(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

-- A proxy of `real`. Tables inside are shown by proxies, too.
local function protect(real)
    for key, value in pairs(real) do
        if type(value) == "table" and not shown[value] then
            real[key] = protect(value)
        end
    end
    local proxy = setmetatable({}, { __index = real, __newindex = refuse, __metatable = false })
    shown[proxy] = real
    return proxy
end

-- ---- natives -------------------------------------------------------------------------------------------------------

local function settle(failure, ...)
    if failure then
        error(failure, 3)
    end
    return ...
end

-- A native whose failures are errors at the line of its caller.
local function raising(native)
    return function(...)
        return settle(native(...))
    end
end

local function raise_all(natives)
    local functions = {}
    for name, native in pairs(natives) do
        functions[name] = raising(native)
    end
    return functions
end

-- ---- functions that go past metatables -----------------------------------------------------------------------------

local function need_table(value, name)
    if type(value) ~= "table" then
        local got = value == nil and "nil" or type(value)
        error("bad argument #1 to '" .. name .. "' (table expected, got " .. got .. ")", 3)
    end
end

local function next_shown(table, key)
    need_table(table, "next")
    return next(shown[table] or table, key)
end

local general = {
    _VERSION = _VERSION,
    assert = assert,
    collectgarbage = collectgarbage,
    error = error,
    gcinfo = gcinfo,
    ipairs = ipairs,
    next = next_shown,
    rawequal = rawequal,
    select = select,
    tonumber = tonumber,
    tostring = tostring,
    type = type,
}

-- What Lua's own stack takes. Its unpack counts in numbers that overflow.
local RESULTS_MAX = 7999

function general.unpack(list, first, last)
    need_table(list, "unpack")
    local from, to = tonumber(first) or 1, tonumber(last) or #list
    if to - from >= RESULTS_MAX then
        error("too many results to unpack", 2)
    elseif from > to then
        return
    elseif first == nil and last == nil then
        -- Its arguments take room, too.
        return unpack(list)
    end
    return unpack(list, first, last)
end

function general.pairs(table)
    need_table(table, "pairs")
    if shown[table] then
        return next_shown, table, nil
    end
    return pairs(table)
end

function general.rawget(table, key)
    need_table(table, "rawget")
    return rawget(shown[table] or table, key)
end

function general.rawset(table, key, value)
    need_table(table, "rawset")
    if shown[table] then
        error(READ_ONLY, 2)
    end
    return rawset(table, key, value)
end

function general.setmetatable(table, metatable)
    need_table(table, "setmetatable")
    if shown[table] then
        error(READ_ONLY, 2)
    end
    return setmetatable(table, metatable)
end

-- Metatables of what is shared are shared, too.
local metatables = setmetatable({}, { __mode = "k" })

function general.getmetatable(value)
    if shown[value] then
        return metatables[value]
    end
    return getmetatable(value)
end

-- ---- catching errors -----------------------------------------------------------------------------------------------

-- Nothing that stops a script from outside is caught.
local function caught(ok, ...)
    if ok then
        return true, ...
    end
    if stopped() then
        error("stopped", 0)
    end
    local failure = ...
    if type(failure) == "table" then
        local text = rawget(failure, "err")
        if type(text) == "string" then
            return false, text
        end
    elseif type(failure) == "userdata" then
        return false, tostring(failure)
    end
    return false, failure
end

function general.pcall(...)
    return caught(pcall(...))
end

local function caught_by_handler(ok, ...)
    if not ok and stopped() then
        error("stopped", 0)
    end
    return ok, ...
end

function general.xpcall(...)
    return caught_by_handler(xpcall(...))
end

local coroutines = {}
for name, value in pairs(coroutine) do
    coroutines[name] = value
end

function coroutines.resume(...)
    return caught_by_handler(resume(...))
end

-- ---- libraries -----------------------------------------------------------------------------------------------------

local function copy(library)
    local functions = {}
    for name, value in pairs(library) do
        functions[name] = value
    end
    return functions
end

local tables = copy(table)
function tables.insert(...)
    local list = ...
    need_table(list, "insert")
    if shown[list] then
        error(READ_ONLY, 2)
    end
    return insert(...)
end

local maths = copy(math)
maths.random = raising(natives.random)
maths.randomseed = raising(natives.randomseed)

general.bit = protect(raise_all(natives.bit))
general.cjson = raise_all(natives.cjson)
general.cjson.null = constants.null
general.cjson._NAME = "cjson"
general.cjson._VERSION = "2.1.0"
general.cjson = protect(general.cjson)
general.cmsgpack = raise_all(natives.cmsgpack)
general.cmsgpack._NAME = "cmsgpack"
general.cmsgpack._VERSION = "lua-cmsgpack 0.4.0"
general.cmsgpack._COPYRIGHT = "MessagePack for Lua"
general.cmsgpack._DESCRIPTION = "MessagePack C implementation for Lua"
general.cmsgpack = protect(general.cmsgpack)
general.struct = protect(raise_all(natives.struct))
general.coroutine = protect(coroutines)
general.math = protect(maths)
general.os = protect({ clock = os.clock })
general.table = protect(tables)

local strings = getmetatable("").__index
local strings_shown = setmetatable({}, { __index = strings, __newindex = refuse, __metatable = false })
shown[strings_shown] = strings
general.string = strings_shown
getmetatable("").__metatable = protect({ __index = strings_shown })

-- ---- redis ---------------------------------------------------------------------------------------------------------

local api = raise_all(natives.redis)
for name, value in pairs(constants.redis) do
    api[name] = value
end

api.call, api.pcall = natives.call, natives.pcall

local function returning_failure(native)
    return function(...)
        local failure, value = native(...)
        return failure or value
    end
end

api.error_reply = returning_failure(natives.error_reply)
api.status_reply = returning_failure(natives.status_reply)

local eval_api = copy(api)
function eval_api.breakpoint()
    return false
end
function eval_api.debug() end
function eval_api.replicate_commands()
    return true
end

-- ---- environments --------------------------------------------------------------------------------------------------

-- Globals that read like a table and cannot be written: the proxy, the real table, the proxy's metatable.
local function environment(api)
    local globals = copy(general)
    globals.redis = protect(api)
    local link = { __index = globals, __newindex = refuse, __metatable = false }
    local proxy = setmetatable({}, link)
    shown[proxy] = globals
    globals._G = proxy
    metatables[proxy] = protect({ __index = missing, __newindex = refuse })
    setmetatable(globals, { __index = missing })

    -- Only text is compiled: there is no check of bytecode.
    local function compile(text, name)
        if type(text) == "string" and byte(text, 1) == 27 then
            return nil, "attempt to load chunk with wrong mode"
        end
        local compiled, failure = loadstring(text, name)
        if compiled then
            setfenv(compiled, proxy)
        end
        return compiled, failure
    end
    globals.loadstring = compile
    function globals.load(read, name)
        local pieces = {}
        repeat
            local piece = read()
            pieces[#pieces + 1] = piece
        until piece == nil or piece == ""
        return compile(concat(pieces), name or "=(load)")
    end
    if deprecated then
        globals.newproxy, globals.getfenv, globals.setfenv = newproxy, getfenv, setfenv
    end
    return proxy, globals, link
end

local eval_proxy, eval_globals = environment(eval_api)
local function_proxy, function_globals, function_link = environment(api)

-- While a library loads it sees nothing but this.
local library_api = {
    register_function = raising(natives.register_function),
    log = api.log,
    LOG_DEBUG = api.LOG_DEBUG,
    LOG_VERBOSE = api.LOG_VERBOSE,
    LOG_NOTICE = api.LOG_NOTICE,
    LOG_WARNING = api.LOG_WARNING,
    REDIS_VERSION = api.REDIS_VERSION,
    REDIS_VERSION_NUM = api.REDIS_VERSION_NUM,
}
setmetatable(library_api, { __index = missing })
local library_globals = setmetatable({ redis = protect(library_api) }, { __index = missing })

-- ---- running -------------------------------------------------------------------------------------------------------

-- What is raised becomes a table that says where.
local where = natives.where
local function explain(failure)
    if type(failure) ~= "table" or shown[failure] then
        failure = { err = "ERR " .. tostring(failure) }
    end
    local source, line = where()
    if source then
        rawset(failure, "source", source)
        rawset(failure, "line", line)
    end
    return failure
end

-- Compiled scripts, and the functions of loaded libraries by name; both by the ids that the server gave them.
local scripts, libraries = {}, {}

local function keep_script(id, script)
    scripts[id] = script
end

local function keep_function(id, name, callback)
    libraries[id] = libraries[id] or {}
    libraries[id][name] = callback
end

local function forget(id)
    scripts[id], libraries[id] = nil, nil
end

local function load_library(code)
    setfenv(code, function_proxy)
    function_link.__index = library_globals
    local ok, failure = pcall(code)
    function_link.__index = function_globals
    return ok, failure
end

return eval_proxy, { scripts, libraries, eval_globals, explain }, keep_script, keep_function, forget, load_library
