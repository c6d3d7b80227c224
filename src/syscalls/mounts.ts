// Directories of `/` that the kernel makes when they are read; nobody can make a file there. Known to the kernel, which mounts
// them, and to programs that look at everything.

export const MOUNTS = ['bin', 'car', 'dev', 'keg', 'net', 'proc'] as const

/** They hold all of `/` once more: whoever goes through everything below `/` does not go into them. */
export const ASIDE: ReadonlySet<string> = new Set(['/car', '/keg'])
