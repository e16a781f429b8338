#!/bin/bash
#PBS -N m7f3a
#PBS -t 0-2
#PBS -r n
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /home/ada/m7f3a/log
#PBS -q long
#PBS -A physics
#PBS -P waves
#PBS -l nodes=2:ppn=4:gpus=1
#PBS -l mem=2048mb
#PBS -l walltime=26:30:01
#PBS -m e
#PBS -l place=excl
exit 0
