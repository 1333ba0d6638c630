//! Which variables are part of a command, because they change which code it runs.

/// Whether a variable can make an unsuspecting program run other code.
pub fn is_steering(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 5] = [b"LD_", b"GIT_", b"BASH_FUNC_", b"LUA_INIT", b"CORECLR_"];
    const NAMES: [&[u8]; 37] = [
        b"BASHOPTS",
        b"BASH_ENV",
        b"CARGO_BUILD_RUSTC",
        b"CARGO_BUILD_RUSTC_WRAPPER",
        b"DOTNET_STARTUP_HOOKS",
        b"ELECTRON_RUN_AS_NODE",
        b"ENV",
        b"GCONV_PATH",
        b"GLIBC_TUNABLES",
        b"IFS",
        b"JAVA_TOOL_OPTIONS",
        b"JDK_JAVA_OPTIONS",
        b"MAKEFILES",
        b"NODE_OPTIONS",
        b"NODE_PATH",
        b"OPENSSL_CONF",
        b"OPENSSL_ENGINES",
        b"PERL5DB",
        b"PERL5LIB",
        b"PERL5OPT",
        b"PHPRC",
        b"PHP_INI_SCAN_DIR",
        b"PROMPT_COMMAND",
        b"PS4",
        b"PYTHONBREAKPOINT",
        b"PYTHONHOME",
        b"PYTHONPATH",
        b"PYTHONSTARTUP",
        b"PYTHONUSERBASE",
        b"PYTHONWARNINGS",
        b"RUBYLIB",
        b"RUBYOPT",
        b"RUSTC_WORKSPACE_WRAPPER",
        b"RUSTC_WRAPPER",
        b"SHELLOPTS",
        b"SSH_ASKPASS",
        b"_JAVA_OPTIONS",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}
