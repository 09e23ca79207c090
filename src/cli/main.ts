#!/usr/bin/env node
/** The process around the command line: its arguments, its environment, its exit code. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { program } from './program.ts';
import { createTerminal } from './terminal.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

// Whoever reads us may be gone: `lockkeeper list | head -1`.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const terminal = createTerminal(
  { env: process.env, home: homedir() },
  {
    out: (text) => void process.stdout.write(text),
    error: (text) => void process.stderr.write(text),
  },
);
const code = await program(process.argv.slice(2), terminal, version);
if (code !== undefined) process.exitCode = code;
