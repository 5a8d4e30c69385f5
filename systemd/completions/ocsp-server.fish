# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ocsp_server_global_optspecs
	string join \n config= h/help V/version
end

function __fish_ocsp_server_needs_command
	# Figure out if the current invocation already has a command.
	set -l cmd (commandline -opc)
	set -e cmd[1]
	argparse -s (__fish_ocsp_server_global_optspecs) -- $cmd 2>/dev/null
	or return
	if set -q argv[1]
		# Also print the command, so this can be used to figure out what it is.
		echo $argv[1]
		return 1
	end
	return 0
end

function __fish_ocsp_server_using_subcommand
	set -l cmd (__fish_ocsp_server_needs_command)
	test -z "$cmd"
	and return 1
	contains -- $cmd[1] $argv
end

complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -l config -d 'The configuration file' -r -F
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -s V -l version -d 'Print version'
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -f -a "run" -d 'Serve (what is done without a command). SIGHUP reloads the configuration, SIGTERM and SIGINT stop'
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -f -a "check" -d 'Start both children in check mode, under their users and confinement, and print what they find. Changes nothing'
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -f -a "boundary" -d 'Look at every thread of the running processes, as root, and print each claim of the key boundary with its evidence and ok, FAILED or n/a. Changes nothing. Exit codes: 0 no claim fails; 1 one does; 3 the configuration cannot be read; 4 not root, or not one launcher runs'
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -f -a "demo" -d 'Make a throwaway CA, serve it, ask about it with `openssl ocsp`, and show how to ask again'
complete -c ocsp-server -n "__fish_ocsp_server_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand run" -l config -d 'The configuration file' -r -F
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand run" -s h -l help -d 'Print help'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand check" -l config -d 'The configuration file' -r -F
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand check" -l reload -d 'Check what a reload needs: a database that does not answer is a warning'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand check" -s h -l help -d 'Print help'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand boundary" -l config -d 'The configuration file' -r -F
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand boundary" -l pid -d 'The launcher to inspect, where several run' -r
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand boundary" -l json -d 'Print the claims as JSON'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand boundary" -s h -l help -d 'Print help'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand demo" -l listen -d 'The address to listen on; port 0 takes a free one' -r
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand demo" -l once -d 'Stop after asking, instead of serving until interrupted'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand demo" -s h -l help -d 'Print help'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand help; and not __fish_seen_subcommand_from run check boundary demo help" -f -a "run" -d 'Serve (what is done without a command). SIGHUP reloads the configuration, SIGTERM and SIGINT stop'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand help; and not __fish_seen_subcommand_from run check boundary demo help" -f -a "check" -d 'Start both children in check mode, under their users and confinement, and print what they find. Changes nothing'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand help; and not __fish_seen_subcommand_from run check boundary demo help" -f -a "boundary" -d 'Look at every thread of the running processes, as root, and print each claim of the key boundary with its evidence and ok, FAILED or n/a. Changes nothing. Exit codes: 0 no claim fails; 1 one does; 3 the configuration cannot be read; 4 not root, or not one launcher runs'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand help; and not __fish_seen_subcommand_from run check boundary demo help" -f -a "demo" -d 'Make a throwaway CA, serve it, ask about it with `openssl ocsp`, and show how to ask again'
complete -c ocsp-server -n "__fish_ocsp_server_using_subcommand help; and not __fish_seen_subcommand_from run check boundary demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
