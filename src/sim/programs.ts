// Programs in simulations and in tests of whole kernels: loaded into this very thread.

/** `load` and `settle` for a Cluster: no virtual time passes while a program is being loaded. */
export function programLoader(settle: () => Promise<void>) {
  let loading = 0
  return {
    load: async (source: string) => {
      loading++
      try {
        return await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(source)}`)
      } finally {
        loading--
      }
    },
    settle: async () => {
      do await settle()
      while (loading > 0)
    },
  }
}
