/** A timer of Node takes no more. */
export const longestTimerMs = 2_147_483_647

/** In bytes. */
export const kibibyte = 2 ** 10
export const mebibyte = 2 ** 20
export const gibibyte = 2 ** 30
export const pebibyte = 2 ** 50
