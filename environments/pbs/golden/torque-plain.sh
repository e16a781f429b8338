#!/bin/bash
#PBS -N m7f3a
#PBS -r n
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /home/ada/m7f3a/log
exit 0
