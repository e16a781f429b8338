import { choice, onOff, text } from '../option-kinds.ts'
import { option } from './option.ts'

/** How computers of volunteers are served, with BOINC's client on them. */
export const volunteerOptions = {
  volunteers: option<boolean>({
    name: 'volunteers',
    kind: onOff,
    description: "Whether volunteers' hosts may attach with BOINC, below boinc-path, and compute jobs.",
    fallback: () => false,
  }),
  volunteerUrl: option<string | undefined>({
    name: 'volunteer-url',
    kind: text,
    description: 'URL that volunteers attach to, as they reach it. It must stay the same.',
    fallback: () => undefined,
    fallbackText: 'made of host, port and boinc-path',
  }),
  volunteerMovedTo: option<string | undefined>({
    name: 'volunteer-moved-to',
    kind: text,
    description:
      'URL that the project of volunteers has moved to: hosts are told so, bring what they have, and get nothing new.',
    fallback: () => undefined,
    fallbackText: 'nowhere',
  }),
  volunteerProject: option<string>({
    name: 'volunteer-project',
    kind: text,
    description: 'What volunteers see as the name of the project.',
    fallback: () => 'Molehill',
  }),
  volunteerAccounts: option<'open' | 'invited' | 'closed'>({
    name: 'volunteer-accounts',
    kind: choice(['open', 'invited', 'closed']),
    description:
      'Who may make an account of a volunteer: anybody, who has an invitation, or the operator only.',
    fallback: () => 'invited',
  }),
} as const
