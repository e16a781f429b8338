/** Where sites keep what defines `module`: Environment Modules and Lmod, as their packages install them. */
const definitions =
  '/etc/profile.d/modules.sh /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh /usr/share/modules/init/bash /usr/share/lmod/lmod/init/bash'

/** Bash lines that load environment modules. A job whose modules cannot be loaded fails with a word about it. */
export function moduleLines(modules: readonly string[]): readonly string[] {
  if (modules.length === 0) return []
  const names = modules.join(' ')
  return [
    `if ! type module >/dev/null 2>&1; then for molehill_file in ${definitions} "\${MODULESHOME:-/nowhere}/init/bash"; do if [[ -r $molehill_file ]]; then . "$molehill_file"; break; fi; done; fi`,
    `module load ${names} || { echo "The modules ${names} could not be loaded." >&2; exit 1; }`,
  ]
}
