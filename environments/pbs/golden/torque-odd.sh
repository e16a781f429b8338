#!/bin/bash
#PBS -N m7f3a
#PBS -t 0-1
#PBS -r n
#PBS -S /bin/bash
#PBS -j oe
#PBS -o "/home/a \"b\"/log"
#PBS -l nodes=1:ppn=2
exit 0
