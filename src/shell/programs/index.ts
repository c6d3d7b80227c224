// Every command of the shell, one row each. A new command is one file here and one row in this table.
import type { Program } from '../program.ts'
import { attach } from './attach.ts'
import { cat } from './cat.ts'
import { cd } from './cd.ts'
import { chmod } from './chmod.ts'
import { clear } from './clear.ts'
import { cp } from './cp.ts'
import { df } from './df.ts'
import { dmesg } from './dmesg.ts'
import { du } from './du.ts'
import { echo } from './echo.ts'
import { env } from './env.ts'
import { exportProgram } from './export.ts'
import { falseProgram } from './false.ts'
import { find } from './find.ts'
import { fsck } from './fsck.ts'
import { get } from './get.ts'
import { head } from './head.ts'
import { help } from './help.ts'
import { history } from './history.ts'
import { invite } from './invite.ts'
import { keg } from './keg/keg.ts'
import { kid } from './kid.ts'
import { kill } from './kill.ts'
import { ln } from './ln.ts'
import { log } from './log.ts'
import { login, whoami } from './login.ts'
import { lookup } from './lookup.ts'
import { ls } from './ls.ts'
import { mkdir } from './mkdir.ts'
import { mount } from './mount.ts'
import { mv } from './mv.ts'
import { peers } from './peers.ts'
import { ps } from './ps.ts'
import { put } from './put.ts'
import { pwd } from './pwd.ts'
import { rm } from './rm.ts'
import { run } from './run.ts'
import { stat } from './stat.ts'
import { tail } from './tail.ts'
import { touch } from './touch.ts'
import { tree } from './tree.ts'
import { trueProgram } from './true.ts'
import { umount } from './umount.ts'
import { uname } from './uname.ts'
import { wait } from './wait.ts'
import { wc } from './wc.ts'
import { why } from './why.ts'

export const programs: readonly Program[] = [
  help,
  // the cluster
  peers,
  invite,
  df,
  fsck,
  uname,
  lookup,
  dmesg,
  // processes
  run,
  ps,
  attach,
  log,
  why,
  kill,
  wait,
  // files
  ls,
  tree,
  find,
  stat,
  du,
  cat,
  head,
  tail,
  wc,
  cp,
  mv,
  ln,
  rm,
  mkdir,
  touch,
  chmod,
  put,
  get,
  keg,
  mount,
  umount,
  kid,
  // the shell
  login,
  whoami,
  cd,
  pwd,
  echo,
  env,
  exportProgram,
  history,
  clear,
  trueProgram,
  falseProgram,
]
