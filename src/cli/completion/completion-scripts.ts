/**
 * Completion scripts by shell. Each runs `linkspan complete`, so that new verbs and flags need no new script.
 */
export const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# source <(linkspan completion bash)
_linkspan() {
  local IFS=$'\\n'
  COMPREPLY=($(linkspan complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _linkspan linkspan
`,
  zsh: `#compdef linkspan
_linkspan() {
  local -a words_found
  words_found=("\${(@f)$(linkspan complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a words_found
}
compdef _linkspan linkspan
`,
  fish: `function __linkspan_complete
  set -l words (commandline -opc) (commandline -ct)
  linkspan complete -- $words[2..-1] 2>/dev/null
end
complete -c linkspan -f -a '(__linkspan_complete)'
`,
  powershell: `Register-ArgumentCompleter -Native -CommandName linkspan -ScriptBlock {
  param($word, $ast, $position)
  $words = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($word -eq '') { $words += '' }
  linkspan complete '--' @words 2>$null | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
}
`,
  kubectl: `#!/bin/sh
# kubectl_complete-linkspan, on the PATH: kubectl asks it for the words behind "kubectl linkspan".
linkspan complete -- "$@" 2>/dev/null
echo :4
`,
};
